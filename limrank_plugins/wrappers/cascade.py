"""A cheap recipe ranks the whole list, a dear one the head of that ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query, ScoreKind, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.recipe import OutcomeProgram, PartRanker, Recipe
from limrank_plugins.verdicts import Outcome
from limrank_plugins.wrappers.budget import Budget


@dataclass(frozen=True, slots=True)
class Cascade:
    """The head is the first `budget.documents` (default: `top`) of the cheap part's ranking.

    It comes first, in the dear part's order; the rest follows in the cheap one's. Scores of two recipes
    do not compare, so there are none. A budget of tokens or seconds needs a dear part that scores each
    document on its own: the head is then judged in waves from its front until the budget is used up.

    Attributes:
        budget: of the dear part.
        top: how many documents the dear part ranks where the budget does not say.
    """

    budget: Budget = field(default_factory=Budget)
    top: int = 20
    comparable: ClassVar[bool] = False
    score_kind: ClassVar[ScoreKind] = "rank"

    def __post_init__(self) -> None:
        whole_number("top", self.top, least=1)

    def of(self, parts: Sequence[Recipe]) -> Self:
        """Two parts, and a budget that the second one can be held to."""
        if len(parts) != 2:
            raise InputError(f"a cascade is made of two recipes, but got {len(parts)}")
        if self.budget.stops_early and not parts[1].comparable:
            raise InputError(
                f"recipe {parts[1].name!r} judges documents together, so a budget of tokens or seconds "
                f"cannot stop it: give a budget of documents"
            )
        return self

    def __call__(
        self, query: Query, documents: Sequence[Document], parts: Sequence[PartRanker]
    ) -> OutcomeProgram:
        """See the class."""
        cheap, dear = parts
        if len(documents) < 2:
            return Outcome(tuple(Verdict(None) for _ in documents), list(range(len(documents))))
        first = yield from cheap(documents)
        verdicts = first.with_reasons()
        ranking = [i for i in first.best_first() if verdicts[i].failure is None]
        head = ranking[: self.budget.documents if self.budget.documents is not None else self.top]
        judged: list[int] = []
        dear_verdicts: list[Verdict] = []
        order: list[int] | None = None
        for wave in self.budget.waves(head):
            outcome = yield from dear([documents[i] for i in wave])
            judged += wave
            dear_verdicts += outcome.with_reasons()
            order = outcome.order
            if self.budget.spent(Usage.total(verdict.usage for verdict in dear_verdicts)):
                break
        for i, verdict in zip(judged, dear_verdicts, strict=True):
            verdicts[i] = verdict.with_cost_of(verdicts[i])
        # There is an order only where one wave was all: several are asked of recipes that score one by one.
        settled = [judged[place] for place in Outcome(tuple(dear_verdicts), order).best_first()]
        failed = sorted(set(range(len(documents))).difference(ranking))
        return Outcome(tuple(verdicts), [*settled, *ranking[len(judged) :], *failed])
