"""Reason only about documents that may belong to the top of the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
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

    Scores without reasoning are replaced by scores with it, a wave at a time. Who comes first is decided by
    the sum of two places: in the list as it came, which is the first stage's, and by the score without
    reasoning. A document *stands* where nothing that was not reasoned about is ahead of it. It ends

    - when all of the first `top` were reasoned about,
    - when in `patience` waves in a row reasoning lowered the score of every document and none of them stands,
      but one from before does: who comes later is likely to fare no better, or
    - when the budget is used up.

    The score without reasoning breaks ties, because reasoning scores saturate.

    Attributes:
        budget: of the reasoning.
        top: how much of the list is to be settled.
        wave: how many documents are reasoned about at a time: two waves can settle the first ten.
        patience: how many waves in a row may find nothing.
        score_kind: that of the two parts.
    """

    budget: Budget = field(default_factory=Budget)
    top: int = 10
    wave: int = 5
    patience: int = 2
    score_kind: ScoreKind = "probability"
    comparable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number("top", self.top, least=1)
        whole_number("wave", self.wave, least=1)
        whole_number("patience", self.patience, least=1)

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
        unreasoned = _by_both_places(verdicts)
        reasoned: list[Verdict] = []
        in_vain = 0
        while unreasoned and not self.budget.spent(Usage.total(verdict.usage for verdict in reasoned)):
            most = self.budget.documents
            wave = unreasoned[: self.wave if most is None else min(self.wave, most - len(reasoned))]
            if not wave:
                break
            unreasoned = unreasoned[len(wave) :]
            outcome = yield from dear([documents[i] for i in wave])
            for i, verdict in zip(wave, outcome.with_reasons(), strict=True):
                reasoned.append(verdict)
                verdicts[i] = replace(verdict, tie=verdicts[i].tie).with_cost_of(verdicts[i])
            standing = _ahead_of(unreasoned, verdicts)
            found_nothing = standing.isdisjoint(wave) and all(_lowered(verdicts[i]) for i in wave)
            in_vain = in_vain + 1 if standing and found_nothing else 0
            if len(standing) >= self.top or in_vain >= self.patience:
                break
        return Outcome(tuple(verdicts))


def _judged(verdicts: Sequence[Verdict]) -> list[int]:
    """The positions of those without a failure, best first."""
    return [i for i in ranked(verdicts) if verdicts[i].failure is None]


def _ahead_of(unreasoned: Sequence[int], verdicts: Sequence[Verdict]) -> set[int]:
    """The positions that stand."""
    waiting = frozenset(unreasoned)
    return set(takewhile(lambda i: i not in waiting, _judged(verdicts)))


def _lowered(verdict: Verdict) -> bool:
    """Whether its score with reasoning, if there is one, is below that without, which is its tie-break."""
    return verdict.score is None or verdict.tie is None or verdict.score < verdict.tie


def _by_both_places(verdicts: Sequence[Verdict]) -> list[int]:
    """Positions by the sum of their place in the list as it came and their place by score.

    Scores without reasoning may hardly differ, and then say less than the order that documents came in.
    """
    places = {position: place for place, position in enumerate(_judged(verdicts))}
    return sorted(places, key=lambda position: (position + places[position], position))
