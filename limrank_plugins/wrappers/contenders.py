"""Think only about documents that stand, or could come to stand, at the top of the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from limrank_plugins.answers import Outcome, arrange
from limrank_plugins.data import Document, Query, ScoreKind, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.wrappers import Ask, Asked, Facts, after, spent_on
from limrank_plugins.wrappers.budget import Budget, check_top


@dataclass(frozen=True, slots=True)
class Contenders:
    """One recipe twice, the second time with a thought, so that their scores are on one scale.

    The cheap scores are replaced by dear ones, a wave at a time: whoever stands among the first `top`
    and was not thought about yet is thought about now, until there is nobody left, or no budget. So
    either all of the first `top` were thought about, or the budget was used up. The cheap score breaks
    ties, because reasoning scores saturate.

    Attributes:
        budget: of the thoughts.
        top: how much of the list is to be settled.
        score_kind: that of the two parts.
    """

    budget: Budget = field(default_factory=Budget)
    top: int = 10
    score_kind: ScoreKind = "probability"
    comparable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_top(self.top)

    def of(self, parts: Sequence[Facts]) -> Self:
        """Two parts whose scores can be sorted together."""
        kinds = {part.score_kind for part in parts if part.comparable}
        if len(parts) != 2 or len(kinds) != 1 or not all(part.comparable for part in parts):
            names = ", ".join(part.name for part in parts)
            raise InputError(
                f"reasoning='auto' needs a recipe that scores each document on its own, such as 'limrank', "
                f"but got {names}; recipe 'cascade' takes any two"
            )
        return replace(self, score_kind=parts[1].score_kind)

    def __call__(self, query: Query, documents: Sequence[Document], parts: Sequence[Ask]) -> Asked:
        """See the class."""
        cheap, dear = parts
        first = yield from cheap.about(documents)
        said = [replace(verdict, tie=verdict.score) for verdict in first.reasons_given()]
        left = {i for i, verdict in enumerate(said) if verdict.failure is None}
        thoughts: list[Verdict] = []
        while left and not self.budget.spent(spent_on(thoughts)):
            standing = [i for i in arrange(said) if said[i].failure is None][: self.top]
            contenders = [i for i in standing if i in left]
            if self.budget.documents is not None:
                contenders = contenders[: self.budget.documents - len(thoughts)]
            if not contenders:
                break
            wave = self.budget.waves(contenders)[0]
            outcome = yield from dear.about([documents[i] for i in wave])
            for i, verdict in zip(wave, outcome.reasons_given(), strict=True):
                thoughts.append(verdict)
                said[i] = after(said[i], replace(verdict, tie=said[i].tie))
                left.remove(i)
        return Outcome(tuple(said))
