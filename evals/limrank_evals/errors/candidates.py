"""What a reranker had to choose from: nothing it was not given can be its mistake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from limrank_evals.exclusion import exclude
from limrank_evals.runs import Ranked


@dataclass(frozen=True, slots=True)
class Candidates:
    """The documents that were there to be ranked.

    Attributes:
        ranked: by query, in the first stage's order; without one, in the run's.
        strangers: documents of the run that the first stage's list lacks; they are candidates all the same.
        given: whether a first stage's list was there to tell.
    """

    ranked: Ranked
    strangers: int = 0
    given: bool = False


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
        return Candidates({query: list(found) for query, found in ranked.items()})
    found: Ranked = {}
    strangers = 0
    cleaned = exclude(first, excluded)
    queries = [*ranked, *(query for query in cleaned if query not in ranked)]
    for query in queries:
        here, before = ranked.get(query, []), cleaned.get(query, [])
        places = {document: place for place, document in enumerate(before, start=1)}
        reach = max((places.get(document, 0) for document in here), default=0) if depth is None else depth
        head = before[:reach]
        others = sorted(set(here) - set(head))
        strangers += len(others)
        found[query] = head + others
    return Candidates(found, strangers, given=True)
