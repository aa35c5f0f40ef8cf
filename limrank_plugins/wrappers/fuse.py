"""Several rankings of one list made one: reciprocal ranks, or scores put on one scale."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, get_args

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query, ScoreKind, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.recipe import OutcomeProgram, PartRanker, Recipe
from limrank_plugins.ties import score_keys, shared_ranks
from limrank_plugins.verdicts import Outcome

FusionMethod = Literal["rrf", "minmax", "zscore"]


@dataclass(frozen=True, slots=True)
class Fuse:
    """Every part ranks the whole list; the fused score depends on the list.

    Documents that a part gives equal scores share the first of their ranks in it, and documents that
    read the same count as one (`once_each`). A document that failed in any part has failed.

    Attributes:
        method: `"rrf"`: the sum of weight / (k + rank) (Cormack et al., SIGIR 2009); `"minmax"`: the
            sum of weight · (score - least) / (largest - least), 0 where all scores of a part are equal;
            `"zscore"`: of weight · (score - mean) / standard deviation, 0 where they are equal.
        weights: one for each part; empty: 1 for each.
        k: of the reciprocal ranks.
    """

    method: FusionMethod = "rrf"
    weights: tuple[float, ...] = ()
    k: int = 60
    comparable: ClassVar[bool] = False
    score_kind: ClassVar[ScoreKind] = "fused"

    def __post_init__(self) -> None:
        if self.method not in get_args(FusionMethod):
            raise InputError(f"method must be 'rrf', 'minmax' or 'zscore', but got {self.method!r}")
        whole_number("k", self.k, least=0)
        if self.weights and not (min(self.weights) >= 0 and 0 < sum(self.weights) < math.inf):
            raise InputError(f"weights must be numbers >= 0, not all of them 0, but got {self.weights}")

    def of(self, parts: Sequence[Recipe]) -> Self:
        """At least two parts, a weight for each, and scores in each where scores are fused."""
        if len(parts) < 2:
            raise InputError(f"there must be at least two recipes to fuse, but got {len(parts)}")
        if self.weights and len(self.weights) != len(parts):
            raise InputError(f"got {len(self.weights)} weights for {len(parts)} recipes")
        without = [part.name for part in parts if part.score_kind == "rank"]
        if self.method != "rrf" and without:
            raise InputError(f"recipe {without[0]!r} gives no scores: use method=rrf")
        return self

    def __call__(
        self, query: Query, documents: Sequence[Document], parts: Sequence[PartRanker]
    ) -> OutcomeProgram:
        """See the class."""
        outcomes = yield from together([rank(documents) for rank in parts])
        weights = self.weights if self.weights else (1.0,) * len(parts)
        totals = [0.0] * len(documents)
        merged: list[Verdict] = []
        for outcome, weight in zip(outcomes, weights, strict=True):
            verdicts = outcome.with_reasons()
            for i, value in self._values(outcome, verdicts).items():
                totals[i] += weight * value
            merged = [_both(*pair) for pair in zip(merged, verdicts, strict=True)] if merged else verdicts
        return Outcome(
            tuple(
                replace(verdict, score=None if verdict.failure is not None else total, tie=None)
                for verdict, total in zip(merged, totals, strict=True)
            )
        )

    def _values(self, outcome: Outcome, verdicts: Sequence[Verdict]) -> dict[int, float]:
        """By position, what a part gives to each document it judged, before it is weighted."""
        if self.method == "rrf":
            judged = [i for i in outcome.best_first() if verdicts[i].failure is None]
            keys = judged if outcome.order is not None else score_keys([verdicts[i] for i in judged])
            return {i: 1 / (self.k + rank) for i, rank in zip(judged, shared_ranks(keys), strict=True)}
        scores = {i: j.score for i, j in enumerate(verdicts) if j.score is not None}
        if self.method == "zscore":
            return dict(zip(scores, z_scores(list(scores.values())), strict=True))
        low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
        # Halved where the difference of two large numbers of opposite sign would overflow.
        by = 1.0 if math.isfinite(high - low) else 0.5
        span = high * by - low * by
        return {i: (s * by - low * by) / span if high > low else 0.0 for i, s in scores.items()}


def z_scores(scores: Sequence[float]) -> list[float]:
    """(score - mean) / standard deviation of the list (of all, not of a sample); 0 where all are equal."""
    if len(set(scores)) < 2:
        return [0.0] * len(scores)
    largest = max(map(abs, scores))
    scores = [score / largest for score in scores]  # whose squares neither overflow nor vanish
    mean = statistics.fmean(scores)
    spread = statistics.pstdev(scores, mean)
    return [(score - mean) / spread if spread else 0.0 for score in scores]


def _both(before: Verdict, now: Verdict) -> Verdict:
    """A document that failed in one of the parts has failed; the last reasoning about it is kept."""
    return replace(
        now.with_cost_of(before),
        explanation=now.explanation if now.explanation is not None else before.explanation,
        failure=before.failure if before.failure is not None else now.failure,
    )
