"""Reason only about documents that stand, or could come to stand, at the top of the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query, ScoreKind, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.recipe import OutcomeProgram, PartRanker, Recipe
from limrank_plugins.verdicts import Outcome, ranked
from limrank_plugins.wrappers.budget import Budget


@dataclass(frozen=True, slots=True)
class AutoReasoning:
    """One recipe twice, the second time with reasoning, so that their scores are on one scale.

    Scores without reasoning are replaced by scores with it, a wave at a time: a document among the first
    `top` that was judged without reasoning is judged again with it, until there is none left, or no budget.
    So either all of the first `top` were reasoned about, or the budget was used up. The score without
    reasoning breaks ties, because reasoning scores saturate.

    Attributes:
        budget: of the reasoning.
        top: how much of the list is to be settled.
        score_kind: that of the two parts.
    """

    budget: Budget = field(default_factory=Budget)
    top: int = 10
    score_kind: ScoreKind = "probability"
    comparable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number("top", self.top, least=1)

    def of(self, parts: Sequence[Recipe]) -> Self:
        """Two parts whose scores can be sorted together."""
        kinds = {part.score_kind for part in parts if part.comparable}
        if len(parts) != 2 or len(kinds) != 1 or not all(part.comparable for part in parts):
            names = ", ".join(part.name for part in parts)
            raise InputError(
                f"reasoning='auto' needs a recipe that scores each document on its own, such as 'limrank', "
                f"but got {names}; recipe 'cascade' takes any two"
            )
        return replace(self, score_kind=parts[1].score_kind)

    def __call__(
        self, query: Query, documents: Sequence[Document], parts: Sequence[PartRanker]
    ) -> OutcomeProgram:
        """See the class."""
        cheap, dear = parts
        first = yield from cheap(documents)
        verdicts = [replace(verdict, tie=verdict.score) for verdict in first.with_reasons()]
        unreasoned = {i for i, verdict in enumerate(verdicts) if verdict.failure is None}
        reasoned: list[Verdict] = []
        while unreasoned and not self.budget.spent(Usage.total(verdict.usage for verdict in reasoned)):
            head = [i for i in ranked(verdicts) if verdicts[i].failure is None][: self.top]
            contenders = [i for i in head if i in unreasoned]
            if self.budget.documents is not None:
                contenders = contenders[: self.budget.documents - len(reasoned)]
            if not contenders:
                break
            wave = self.budget.waves(contenders)[0]
            outcome = yield from dear([documents[i] for i in wave])
            for i, verdict in zip(wave, outcome.with_reasons(), strict=True):
                reasoned.append(verdict)
                verdicts[i] = replace(verdict, tie=verdicts[i].tie).with_cost_of(verdicts[i])
                unreasoned.remove(i)
        return Outcome(tuple(verdicts))
