"""What a random order of the candidates is worth: whoever is below it has the order the wrong way round."""

from __future__ import annotations

from limrank_evals.judgements import Qrels
from limrank_evals.measures import measure
from limrank_evals.runs import Ranked


def chance(ranked: Ranked, qrels: Qrels, name: str) -> float:
    """The expected mean of a measure that adds up what each place holds, such as nDCG, over all orders.

    In the rotations of a list each document stands once in each place, so that their mean is the mean
    over all orders.

    Args:
        ranked: each query's candidates.
        qrels: the judgements; the mean is over their queries.
        name: the measure.
    """
    total = 0.0
    for turn in range(max(map(len, ranked.values()), default=0)):
        turned = {query: [*ids[turn:], *ids[:turn]] for query, ids in ranked.items() if turn < len(ids)}
        values = measure(turned, qrels, (name,)).per_query[name]
        total += sum(values[query] / len(ids) for query, ids in turned.items() if query in qrels)
    return total / len(qrels) if qrels else 0.0
