"""A cheap recipe ranks the whole list, a dear one the head of that ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from limrank_plugins.answers import Outcome
from limrank_plugins.data import Document, Query, ScoreKind, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.wrappers import Ask, Asked, Facts, after, spent_on
from limrank_plugins.wrappers.budget import Budget, check_top


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
        check_top(self.top)

    def of(self, parts: Sequence[Facts]) -> Self:
        """Two parts, and a budget that the second one can be held to."""
        if len(parts) != 2:
            raise InputError(f"a cascade is made of two recipes, but got {len(parts)}")
        if self.budget.stops_early and not parts[1].comparable:
            raise InputError(
                f"recipe {parts[1].name!r} judges documents together, so a budget of tokens or seconds "
                f"cannot stop it: give a budget of documents"
            )
        return self

    def __call__(self, query: Query, documents: Sequence[Document], parts: Sequence[Ask]) -> Asked:
        """See the class."""
        cheap, dear = parts
        if len(documents) < 2:
            return Outcome(tuple(Verdict(None) for _ in documents), list(range(len(documents))))
        first = yield from cheap.about(documents)
        said = first.reasons_given()
        ranked = [i for i in first.best_first() if said[i].failure is None]
        head = ranked[: self.budget.documents if self.budget.documents is not None else self.top]
        judged: list[int] = []
        found: list[Verdict] = []
        order: list[int] | None = None
        for wave in self.budget.waves(head):
            outcome = yield from dear.about([documents[i] for i in wave])
            judged += wave
            found += outcome.reasons_given()
            order = outcome.order
            if self.budget.spent(spent_on(found)):
                break
        for i, verdict in zip(judged, found, strict=True):
            said[i] = after(said[i], verdict)
        # There is an order only where one wave was all: several are asked of recipes that score one by one.
        settled = [judged[at] for at in Outcome(tuple(found), order).best_first()]
        failed = sorted(set(range(len(documents))).difference(ranked))
        return Outcome(tuple(said), [*settled, *ranked[len(judged) :], *failed])
