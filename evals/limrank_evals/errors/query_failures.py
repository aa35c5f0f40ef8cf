"""Queries that end without a relevant document at the top, and whose mistake that is.

A query with relevant documents is exactly one of these:

answered         a relevant document is among the first `top`
without_results  the run has nothing for it
not_found        no relevant document was among the candidates: no order could have helped
buried           one was among them, and none is among the first `top`: a mistake of the ranking

Of the buried ones, `dropped` had a relevant document among the first stage's first `top`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from limrank_evals.comparison import ends
from limrank_evals.errors.candidates import Candidates
from limrank_evals.judgements import Qrels, relevant
from limrank_evals.runs import Ranked
from limrank_evals.stats import wilson

OUTCOMES = ("answered", "without_results", "not_found", "buried")


class BuriedQuery(NamedTuple):
    """A query whose relevant documents were there and stand too low.

    Attributes:
        query: its id.
        document: the relevant document that the run has highest.
        rank: its place in the run; None where the run does not hold it any more.
        first_rank: the place at which the first stage has its best relevant one; None where it has none, or
            there is no first stage.
        relevant: how many relevant documents the query has.
    """

    query: str
    document: str
    rank: int | None
    first_rank: int | None
    relevant: int


@dataclass(frozen=True, slots=True)
class QueryFailures:
    """What became of every query with relevant documents.

    Attributes:
        top: how many documents are looked at.
        outcomes: one of `OUTCOMES` by query.
        buried: the buried ones, the best-placed relevant document lowest first.
        dropped: those of them whose relevant document the first stage had at the top; None without one.
    """

    top: int
    outcomes: Mapping[str, str]
    buried: tuple[BuriedQuery, ...]
    dropped: tuple[str, ...] | None

    def named(self, outcome: str) -> list[str]:
        """The queries with this outcome."""
        return [query for query, actual in self.outcomes.items() if actual == outcome]

    @property
    def failures(self) -> int:
        """How many queries were not answered."""
        return len(self.outcomes) - len(self.named("answered"))

    def as_json(self, level: float, most: int = 10) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        total, shares = self.failures, {}
        for outcome in OUTCOMES[1:]:
            count = len(self.named(outcome))
            interval = ends(wilson(count, total, level=level))
            shares[outcome] = {"share": count / total if total else None, "interval": interval}
        return {
            "top": self.top,
            "queries": len(self.outcomes),
            **{outcome: len(self.named(outcome)) for outcome in OUTCOMES},
            "dropped": None if self.dropped is None else len(self.dropped),
            "of_failures": shares,
            "cases": {
                "buried": [query._asdict() for query in self.buried[: max(0, most)]],
                "not_found": self.named("not_found")[: max(0, most)],
                "without_results": self.named("without_results")[: max(0, most)],
            },
        }


def query_failures_of(ranked: Ranked, candidates: Candidates, qrels: Qrels, top: int) -> QueryFailures:
    """What became of every query with relevant documents.

    Args:
        ranked: the run, without excluded documents and cut.
        candidates: what there was to rank.
        qrels: the judgements.
        top: how many documents are looked at, at least 1.
    """
    outcomes: dict[str, str] = {}
    buried: list[BuriedQuery] = []
    dropped: list[str] = []
    for query in sorted(qrels):
        good = set(relevant(qrels, query))
        if not good:
            continue
        documents = ranked.get(query, [])
        places = [place for place, document in enumerate(documents, start=1) if document in good]
        there = [d for d in candidates.ranked.get(query, ()) if d in good]
        if places and places[0] <= top:
            outcomes[query] = "answered"
        elif not documents:
            outcomes[query] = "without_results"
        elif not there:
            outcomes[query] = "not_found"
        else:
            outcomes[query] = "buried"
            place = places[0] if places else None
            earlier = [] if candidates.first is None else candidates.first.get(query, [])
            before = next((place for place, d in enumerate(earlier, start=1) if d in good), None)
            document = there[0] if place is None else documents[place - 1]
            buried.append(BuriedQuery(query, document, place, before, len(good)))
            if before is not None and before <= top:
                dropped.append(query)
    lowest = sorted(buried, key=lambda query: (query.rank is not None, -(query.rank or 0), query.query))
    return QueryFailures(top, outcomes, tuple(lowest), None if candidates.first is None else tuple(dropped))
