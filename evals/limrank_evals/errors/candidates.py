"""What a reranker had to choose from: nothing it was not given can be its mistake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from limrank_evals.exclusion import exclude
from limrank_evals.runs import Ranked, cut


@dataclass(frozen=True, slots=True)
class Candidates:
    """The documents that were there to be ranked.

    Attributes:
        ranked: by query, in the first stage's order; without one, in the run's.
        first: the first stage's whole list, without excluded documents and cut; None without one.
        strangers: documents of the run that the first stage's list lacks; they are candidates all the same.
        missing: candidates that the run lacks although it has others from below them: it was cut after
            ranking, and more of the first stage's may have been candidates than can be seen.
    """

    ranked: Ranked
    first: Ranked | None = None
    strangers: int = 0
    missing: int = 0


def candidates_of(
    ranked: Ranked,
    first: Ranked | None,
    excluded: Mapping[str, Collection[str]],
    depth: int | None = None,
) -> Candidates:
    """The candidates of every query.

    They are the first `depth` of the first stage's documents; without a depth, the shortest head of its
    list that holds every document of the run. Of a query the run has nothing for, that is none. Without a
    first stage they are the run's own documents, which is right for a run that was not cut after ranking.

    Args:
        ranked: the run, without excluded documents and cut.
        first: the first stage's order, as it was read.
        excluded: documents that must not count; they go before the cut.
        depth: how many were reranked, where it is known.
    """
    if first is None:
        return Candidates({query: list(documents) for query, documents in ranked.items()})
    cleaned = exclude(first, excluded)
    if depth is not None:
        cleaned = cut(cleaned, depth)
    documents: Ranked = {}
    strangers = missing = 0
    for query in [*ranked, *(query for query in cleaned if query not in ranked)]:
        here, before = ranked.get(query, []), cleaned.get(query, [])
        places = {document: place for place, document in enumerate(before, start=1)}
        reach = max((places.get(document, 0) for document in here), default=0) if depth is None else depth
        head = before[:reach]
        others = sorted(set(here) - set(head))
        strangers += len(others)
        missing += 0 if depth is not None else len(set(head) - set(here))
        documents[query] = head + others
    return Candidates(documents, cleaned, strangers, missing)
