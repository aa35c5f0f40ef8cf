"""Where a measure is lost: by the first stage, which did not find it, or by the order of what it found.

ideal     all judged documents in the order of their grades
ceiling   the candidates in the order of their grades: the best any reranker can do
achieved  the run

`ideal - ceiling` is lost by finding, `ceiling - achieved` by ordering. Where the model gave scores, a part
of the latter is settled by nothing but the order of equal ones: `ties_best` and `ties_worst` are what the
run would have with the documents of every score in the best and the worst order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limrank_evals.comparison import Resampling
from limrank_evals.errors.detailed_run import DetailedRun, RunHit
from limrank_evals.judgements import Qrels
from limrank_evals.measures import measure
from limrank_evals.runs import Ranked
from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """One measure, query by query; every mean is over all judged queries.

    Attributes:
        measure: its name.
        ideal, ceiling, achieved: see above, by query.
        first: of the first stage's list; None without a first stage.
        ties_best, ties_worst: None where the model gave no scores.
    """

    measure: str
    ideal: Mapping[str, float]
    ceiling: Mapping[str, float]
    achieved: Mapping[str, float]
    first: Mapping[str, float] | None
    ties_best: Mapping[str, float] | None
    ties_worst: Mapping[str, float] | None

    def lost_by_ordering(self, query: str) -> float:
        """What the order of a query's candidates costs it."""
        return self.ceiling[query] - self.achieved[query]

    def parts(self, queries: Collection[str] | None = None) -> dict[str, list[float]]:
        """Every number and every loss of these queries, or of all, under the name it has in the JSON."""
        queries = list(self.achieved if queries is None else queries)

        def values(of: Mapping[str, float], less: Mapping[str, float] | None = None) -> list[float]:
            return [of[q] - (0.0 if less is None else less[q]) for q in queries]

        parts = {
            "ideal": values(self.ideal),
            "ceiling": values(self.ceiling),
            "achieved": values(self.achieved),
            "lost_by_finding": values(self.ideal, self.ceiling),
            "lost_by_ordering": values(self.ceiling, self.achieved),
        }
        if self.first is not None:
            parts["first_stage"] = values(self.first)
            parts["gained_over_first_stage"] = values(self.achieved, self.first)
        if self.ties_best is not None and self.ties_worst is not None:
            parts["ties_best"] = values(self.ties_best)
            parts["ties_worst"] = values(self.ties_worst)
            parts["lost_by_ties"] = values(self.ties_best, self.achieved)
        return parts

    def as_json(self, resampling: Resampling) -> dict[str, Any]:
        """The means with their intervals."""
        means = {name: resampling.mean(values) for name, values in self.parts().items()}
        return {name: mean.as_json() for name, mean in means.items() if mean is not None}


def budget_of(
    listing: DetailedRun, candidates: Ranked, first: Ranked | None, qrels: Qrels, name: str = "nDCG@10"
) -> ErrorBudget:
    """The error budget of a run.

    Args:
        listing: the run, without excluded documents and cut.
        candidates: what there was to rank, which holds every document of the run.
        first: the first stage's list, or None.
        qrels: the judgements.
        name: a measure that is best where grades descend: nDCG, AP, RR, R, P, Success, ….

    Raises:
        InputError: the measure is none of those, or not known.
    """
    if name == "p-MRR":
        raise InputError("p-MRR compares two rankings: an error budget needs a measure of one, as nDCG@10")

    def values(ranked: Ranked) -> Mapping[str, float]:
        # A query whose list is empty keeps its place: `measure` wants one judged query at least.
        return measure(ranked, qrels, [name]).per_query[name]

    achieved = values(listing.ranked)
    ceiling = values({query: _by_grade(documents, qrels, query) for query, documents in candidates.items()})
    ideal = values({query: _by_grade(list(grades), qrels, query) for query, grades in qrels.items()})
    over = [q for q in achieved if achieved[q] > ceiling[q] + 1e-9 or ceiling[q] > ideal[q] + 1e-9]
    if over:
        raise InputError(
            f"{name} is not at its best where grades descend (query {over[0]!r}), so it has no ceiling; "
            f"take nDCG, AP, RR, R, P or Success"
        )
    orders = [None, None] if not listing.scored else [_retied(listing, qrels, sign) for sign in (1, -1)]
    best, worst = (None if order is None else values(order) for order in orders)
    return ErrorBudget(name, ideal, ceiling, achieved, None if first is None else values(first), best, worst)


def _by_grade(documents: Sequence[str], qrels: Qrels, query: str) -> list[str]:
    grades = qrels.get(query, {})
    return sorted(documents, key=lambda document: -grades.get(document, 0))


def _retied(listing: DetailedRun, qrels: Qrels, sign: int) -> Ranked:
    return {query: _swapped(hits, qrels.get(query, {}), sign) for query, hits in listing.lists.items()}


def _swapped(hits: Sequence[RunHit], grades: Mapping[str, int], sign: int) -> list[str]:
    """The list with the documents of every score sorted by grade within the places they hold."""
    places: dict[float, list[int]] = {}
    for place, hit in enumerate(hits):
        if hit.score is not None:
            places.setdefault(hit.score, []).append(place)
    order = [hit.document for hit in hits]
    for tied in places.values():
        documents = sorted((order[place] for place in tied), key=lambda d: -sign * max(0, grades.get(d, 0)))
        for place, document in zip(tied, documents, strict=True):
            order[place] = document
    return order
