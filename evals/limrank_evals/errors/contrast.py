"""Two runs over the same passages, and which of them confuses kinds less.

This is how the effect of saying what a query wants is measured: one run with `limrank:intent=either`, one
with `limrank:intent=direct`, over the same candidates. Only passages that both runs ranked and judged are
paired, so that both rates are over the same pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limrank_evals.comparison import Change, Comparison, Resampling, compare_values
from limrank_evals.errors.confusion import Confusion, Relation, confusion_of
from limrank_evals.errors.detailed_run import DetailedRun
from limrank_evals.errors.kinds import Wish


@dataclass(frozen=True, slots=True)
class Contrast:
    """The confusion of two kinds in two runs; below 0, the second run confuses them less.

    Attributes:
        worse, better: the kinds.
        comparison: of the shares of confused pairs, query by query.
    """

    worse: str
    better: str
    comparison: Comparison

    def risen(self, most: int) -> list[Change]:
        """The queries on which the second run confuses more, worst first, no more than `most`."""
        changes = [change for change in self.comparison.changes if change.difference > 0]
        return sorted(changes, key=lambda change: (-change.difference, change.query))[: max(0, most)]

    def as_json(self, most: int = 10) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        c = self.comparison
        return {
            "worse": self.worse,
            "better": self.better,
            "first": c.first,
            "second": c.second,
            **c.tests_json(),
            # Of a share of mistakes, more is worse: what `compare` calls won is lost here.
            "queries": {
                "both": c.queries,
                "less_confused": c.record.lost,
                "as_confused": c.record.tied,
                "more_confused": c.record.won,
            },
            "more_confused": [change._asdict() for change in self.risen(most)],
        }


def contrasts_of(
    first: DetailedRun,
    second: DetailedRun,
    kinds: Mapping[str, Mapping[str, str]],
    wishes: Mapping[str, Wish] | None,
    resampling: Resampling,
) -> tuple[tuple[Contrast, ...], int]:
    """Contrast two runs, sort by sort and kind by kind.

    Args:
        first: the run to compare with.
        second: the run that is looked at.
        kinds: of the documents.
        wishes: see `confusion_of`.
        resampling: how intervals and tests are made.

    Returns:
        The contrasts of the sorts, then of the kinds they have; and how many documents with a kind are in no
        pair because one of the runs did not rank or not judge them.
    """
    judged = [
        {query: {hit.document for hit in hits if hit.failure is None} for query, hits in run.lists.items()}
        for run in (first, second)
    ]
    both = {query: here & judged[1].get(query, set()) for query, here in judged[0].items()}
    named = {query: set(by_document) for query, by_document in kinds.items()}
    left_out = sum(len(documents - both.get(query, set())) for query, documents in named.items())
    counted = [confusion_of(run.lists, kinds, wishes, both) for run in (first, second)]
    hits = []
    for old, new in zip(*(_relations(confusion) for confusion in counted), strict=True):
        hits.append(Contrast(old.worse, old.better, compare_values(old.rates, new.rates, resampling)))
    return tuple(hits), left_out


def _relations(confusion: Confusion) -> list[Relation]:
    """Sorts first; of a kind that bears its sort's name, the sort is told."""
    # By name: the order of `negatives` is by what is measured, and the two runs must meet.
    negatives = sorted(confusion.negatives, key=lambda relation: relation.worse)
    relations: dict[tuple[str, str], Relation] = {}
    for relation in (*confusion.sorts, *negatives, *confusion.matrix):
        relations.setdefault((relation.worse, relation.better), relation)
    return list(relations.values())
