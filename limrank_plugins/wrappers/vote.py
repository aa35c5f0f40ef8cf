"""One recipe asked about the list in several orders: its mean answer counts.

Language models favour places in a list; the mean over orders does not (permutation self-consistency,
arXiv 2310.07712, with Borda's count).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query, ScoreKind, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.recipe import OutcomeProgram, PartRanker, Recipe
from limrank_plugins.seeding import seeded
from limrank_plugins.verdicts import Outcome, ranked


@dataclass(frozen=True, slots=True)
class Vote:
    """Asks about the list as it is and in `times - 1` other orders, all at the same time.

    A part with scores is asked for their mean, another for the mean place of each document. Equal
    means keep the first stage's order. A document has failed where it failed every time; single
    failures are repairs and no votes.

    Attributes:
        times: how many orders, at least 2.
        mirrored: the second order is the first one backwards (then `times` is 2), not a shuffle.
        seed: of the shuffles, which depend on it and the documents alone.
        comparable, score_kind: those of the part.
    """

    times: int = 3
    mirrored: bool = False
    seed: int = 0
    comparable: bool = False
    score_kind: ScoreKind = "rank"

    def __post_init__(self) -> None:
        whole_number("times", self.times, least=2)
        if self.mirrored and self.times != 2:
            raise InputError(f"a list has two directions: mirrored needs times=2, but got {self.times}")

    def of(self, parts: Sequence[Recipe]) -> Self:
        """One part."""
        if len(parts) != 1:
            raise InputError(f"a vote is held on one recipe, but got {len(parts)}")
        return replace(self, comparable=parts[0].comparable, score_kind=parts[0].score_kind)

    def __call__(
        self, query: Query, documents: Sequence[Document], parts: Sequence[PartRanker]
    ) -> OutcomeProgram:
        """See the class."""
        (rank,) = parts
        orders = self._orders(documents)
        outcomes = yield from together([rank([documents[i] for i in order]) for order in orders])
        votes: list[list[float]] = [[] for _ in documents]
        merged: list[Verdict | None] = [None] * len(documents)
        scored = all(outcome.order is None for outcome in outcomes)
        for order, outcome in zip(orders, outcomes, strict=True):
            places = {position: place for place, position in enumerate(outcome.best_first())}
            for position, verdict in enumerate(outcome.with_reasons()):
                i = order[position]
                if verdict.failure is None:
                    votes[i].append(
                        verdict.score if scored and verdict.score is not None else -places[position]
                    )
                merged[i] = _merged(merged[i], verdict)
        verdicts = tuple(
            replace(
                verdict,
                score=math.fsum(votes[i]) / len(votes[i]) if votes[i] else None,
                tie=None,
                failure=None if votes[i] else verdict.failure,
                repairs=verdict.repairs + (len(orders) - len(votes[i]) if votes[i] else 0),
            )
            for i, verdict in enumerate(merged)
            if verdict is not None
        )
        return Outcome(verdicts, None if scored else ranked(verdicts))

    def _orders(self, documents: Sequence[Document]) -> list[list[int]]:
        """The first stage's order, and the others."""
        straight = list(range(len(documents)))
        if len(documents) < 2:
            return [straight]
        if self.mirrored:
            return [straight, straight[::-1]]
        group = [[document.id, document.passage] for document in documents]
        orders = [straight]
        for time in range(1, self.times):
            name = json.dumps([self.seed, time, group])
            shuffled = list(straight)
            seeded(name).shuffle(shuffled)
            orders.append(shuffled)
        return orders


def _merged(before: Verdict | None, now: Verdict) -> Verdict:
    """The first usable verdict, the cost of both."""
    if before is None:
        return now
    if before.failure is not None and now.failure is None:
        return now.with_cost_of(before)
    return before.with_cost_of(now)
