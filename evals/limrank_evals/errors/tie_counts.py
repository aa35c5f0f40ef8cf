"""Scores that say nothing: equal ones, and those at the ends of their range.

Pointwise verdicts after a thought gather at 0 and 1. Documents of equal score are put in order by something
else (the unreasoned probability, the first stage), and a relevant one can stand below others for no reason
that the model gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from limrank_evals.errors.detailed_run import DetailedRun
from limrank_evals.judgements import Qrels

# A probability this near to 0 or 1 is saturated: float32 and averaging leave little order beyond.
SATURATED = 1e-3


class SaturationCounts(NamedTuple):
    """Probabilities next to 0 and 1.

    Attributes:
        low, high: documents whose probability is within .001 of 0 and of 1.
        relevant_low: relevant ones next to 0: no order among equals brings them up.
        others_high: those next to 1 that are not relevant or not judged.
    """

    low: int
    high: int
    relevant_low: int
    others_high: int


@dataclass(frozen=True, slots=True)
class Ties:
    """Counts over the judged queries' scored documents.

    Attributes:
        scored: documents with a score.
        tied: those that share it with another of their query.
        relevant_scored: relevant ones with a score.
        relevant_tied: those of them with a document that is not relevant at the same score.
        relevant_below: those of them that stand below such a document.
        queries_below: queries with one that does.
        saturated: None where scores are no probabilities.
        cases: a query, its relevant document and the highest one of equal score above it, and their places;
            those that could rise most first.
    """

    scored: int
    tied: int
    relevant_scored: int
    relevant_tied: int
    relevant_below: int
    queries_below: int
    saturated: SaturationCounts | None
    cases: tuple[Mapping[str, Any], ...]

    def as_json(self, most: int = 10) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        record = {**asdict(self), "cases": [dict(case) for case in self.cases[: max(0, most)]]}
        return record | {"saturated": None if self.saturated is None else self.saturated._asdict()}


def ties_of(listing: DetailedRun, qrels: Qrels) -> Ties | None:
    """Count ties and saturated scores; None where the model gave no scores."""
    if not listing.scored:
        return None
    counts = dict.fromkeys(("scored", "tied", "relevant_scored", "relevant_tied", "relevant_below"), 0)
    ends = dict.fromkeys(SaturationCounts._fields, 0)
    below: set[str] = set()
    cases: list[dict[str, Any]] = []
    for query in sorted(qrels):
        grades = qrels[query]
        groups: dict[float, list[Any]] = {}
        for hit in listing.lists.get(query, ()):
            if hit.score is not None:
                groups.setdefault(hit.score, []).append(hit)
        for score, group in groups.items():
            good = [hit for hit in group if grades.get(hit.document, 0) > 0]
            others = [hit for hit in group if grades.get(hit.document, 0) <= 0]
            counts["scored"] += len(group)
            counts["tied"] += len(group) if len(group) > 1 else 0
            counts["relevant_scored"] += len(good)
            counts["relevant_tied"] += len(good) if others else 0
            ends["low"] += len(group) if score <= SATURATED else 0
            ends["high"] += len(group) if score >= 1 - SATURATED else 0
            ends["relevant_low"] += len(good) if score <= SATURATED else 0
            ends["others_high"] += len(others) if score >= 1 - SATURATED else 0
            for hit in good:
                if others and hit.rank > others[0].rank:
                    counts["relevant_below"] += 1
                    below.add(query)
                    cases.append(
                        {
                            "query": query,
                            "document": hit.document,
                            "rank": hit.rank,
                            "below": others[0].document,
                            "below_rank": others[0].rank,
                            "score": score,
                        }
                    )
    cases.sort(key=lambda case: (1 / case["rank"] - 1 / case["below_rank"], case["query"], case["rank"]))
    saturated = SaturationCounts(**ends) if listing.score_kind == "probability" else None
    return Ties(**counts, queries_below=len(below), saturated=saturated, cases=tuple(cases))
