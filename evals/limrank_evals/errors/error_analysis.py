"""The error analysis of a run, put together for people and for machines; `analyse_run` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limrank_evals.comparison import Comparison, Resampling
from limrank_evals.errors.confusion import Case, Confusion
from limrank_evals.errors.contrast import Contrast
from limrank_evals.errors.detailed_run import DetailedRun, RunHit
from limrank_evals.errors.error_budget import ErrorBudget
from limrank_evals.errors.mishaps import FalseClaims, Mishaps
from limrank_evals.errors.query_failures import QueryFailures
from limrank_evals.errors.relevant_counts import RelevantCounts
from limrank_evals.errors.tie_counts import Ties
from limrank_evals.judgements import Qrels, relevant

SCHEMA = "limrank eval errors 1"


@dataclass(frozen=True, slots=True)
class RunComparison:
    """The run compared with another one, which is the first of the two everywhere.

    Attributes:
        measure: the main measure of both.
        contrasts: of what they confuse; empty without kinds.
        left_out: documents with a kind that only one of the runs ranked and judged, or none.
    """

    measure: Comparison
    contrasts: tuple[Contrast, ...] = ()
    left_out: int = 0

    def as_json(self, most: int) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        return {
            "measure": self.measure.as_json(most),
            "confusion": [contrast.as_json(most) for contrast in self.contrasts],
            "left_out": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class Analysis:
    """Where a run goes wrong; each part is described in its own module.

    Attributes:
        listing: the run that was looked at, without excluded documents and cut.
        qrels: what it was judged by.
        budget: what every mistake costs.
        failing: queries without a relevant document at the top.
        few: queries by their number of relevant documents.
        ties: None where the model gave no scores.
        mishaps: None where the run does not say.
        confusion: None without kinds.
        false_claims: None without kinds.
        against: None without a second run.
        kinds: those that were used.
        counts: of queries and documents.
        resampling: how intervals and tests are made.
        warnings: what a reader must know, a sentence each.
    """

    listing: DetailedRun
    qrels: Qrels = field(repr=False)
    budget: ErrorBudget
    failing: QueryFailures
    few: RelevantCounts
    ties: Ties | None
    mishaps: Mishaps | None
    confusion: Confusion | None
    false_claims: FalseClaims | None
    against: RunComparison | None
    kinds: Mapping[str, Mapping[str, str]]
    counts: Mapping[str, int]
    resampling: Resampling
    warnings: tuple[str, ...]

    def misordered(self, most: int) -> list[dict[str, Any]]:
        """The queries that lost most by ordering, worst first, equal ones by id."""
        budget = self.budget
        worst = sorted(budget.achieved, key=lambda query: (-budget.lost_by_ordering(query), query))
        ranked = self.listing.ranked
        cases = []
        for query in worst[: max(0, most)]:
            if budget.lost_by_ordering(query) <= 0:
                break
            good = set(relevant(self.qrels, query))
            best = next((r for r, d in enumerate(ranked.get(query, ()), start=1) if d in good), None)
            cases.append(
                {
                    "query": query,
                    "achieved": budget.achieved[query],
                    "ceiling": budget.ceiling[query],
                    "first_stage": None if budget.first is None else budget.first[query],
                    "relevant": len(good),
                    "best_relevant_rank": best,
                }
            )
        return cases

    def as_json(self, most: int = 10, *, explanations: bool = False) -> dict[str, Any]:
        """For machines; see docs/errors.md for the schema.

        Args:
            most: how many cases of each list.
            explanations: with the model's reasoning about confused passages, which can quote them.
        """
        level = self.resampling.level
        return {
            "measure": self.budget.measure,
            "top": self.failing.top,
            "budget": {**self.budget.as_json(self.resampling), "cases": self.misordered(most)},
            "failing": self.failing.as_json(level, most),
            "by_relevant": self.few.as_json(self.budget, self.failing, self.resampling),
            "confusion": None if self.confusion is None else self._confused(most, explanations),
            "false_claims": None if self.false_claims is None else self.false_claims.as_json(level, most),
            "ties": None if self.ties is None else self.ties.as_json(most),
            "mishaps": None if self.mishaps is None else self.mishaps.as_json(self.failing.top, most),
            "against": None if self.against is None else self.against.as_json(most),
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
            "schema": SCHEMA,
        }

    def _confused(self, most: int, explanations: bool) -> dict[str, Any]:
        assert self.confusion is not None
        confusion = self.confusion
        return {
            **{
                name: [relation.as_json(self.resampling) for relation in relations]
                for name, relations in (
                    ("sorts", confusion.sorts),
                    ("negatives", confusion.negatives),
                    ("matrix", confusion.matrix),
                )
            },
            "counts": dict(confusion.counts),
            "cases": [_case_json(case, explanations) for case in confusion.cases(self.kinds, most)],
        }


def _case_json(case: Case, explanations: bool) -> dict[str, Any]:
    def side(hit: RunHit, kind: str) -> dict[str, Any]:
        record = {"document": hit.document, "kind": kind, "rank": hit.rank, "score": hit.score}
        return record | ({"explanation": hit.explanation} if explanations else {})

    return {
        "query": case.query,
        "worse": side(case.worse, case.worse_kind),
        "better": side(case.better, case.better_kind),
    }
