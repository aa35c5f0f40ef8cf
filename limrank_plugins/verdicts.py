"""What a model says about a group of documents: a score for each, an order, or the best one.

`score → order → select` is free: `Scores` can be read as an order, and both as a choice. The way
back is what a schedule does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from limrank_plugins.data import Usage, Verdict
from limrank_plugins.ties import best_first, score_keys


class GroupVerdict(Protocol):
    """What a model says about a group, as schedules and the driver see it."""

    def order(self) -> tuple[int, ...]:
        """Positions within the group, best first; always a permutation."""

    def choice(self) -> int | None:
        """The position of the best one, or None for an abstention."""

    def verdicts(self, size: int) -> list[Verdict]:
        """What it says about each of the group's documents."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One verdict per document of the group, in the group's order."""

    judged: tuple[Verdict, ...]

    def order(self) -> tuple[int, ...]:
        """Best first; equal scores keep the group's order, a failed document keeps its place."""
        return tuple(ranked(self.judged))

    def choice(self) -> int | None:
        """The best one; None where none was judged, or where all scores are equal."""
        scores = {verdict.score for verdict in self.judged}
        if len(self.judged) > 1 and len(scores) == 1:
            return None
        judged = [i for i in self.order() if self.judged[i].score is not None]
        return judged[0] if judged else None

    def verdicts(self, size: int) -> list[Verdict]:
        """The verdicts themselves."""
        return list(self.judged)


@dataclass(frozen=True, slots=True)
class Order:
    """A permutation of the group.

    Attributes:
        permutation: positions within the group, best first.
        failure: why there is no order (the permutation is then the identity), or None.
        repairs: 1 where the model's text was malformed and repaired.
        cut_tokens: per document, tokens that were not read; empty for none.
    """

    permutation: tuple[int, ...]
    explanation: str | None = None
    failure: str | None = None
    repairs: int = 0
    cut_tokens: tuple[int, ...] = ()
    usage: Usage = Usage()

    def order(self) -> tuple[int, ...]:
        """The permutation."""
        return self.permutation

    def choice(self) -> int | None:
        """The first one; None where there is no order."""
        return None if self.failure is not None or not self.permutation else self.permutation[0]

    def verdicts(self, size: int) -> list[Verdict]:
        """No scores: the reasoning, and what it cost, noted on the first document of the group."""
        return _shared(self.explanation, self.failure, self.repairs, self.cut_tokens, self.usage, size)


@dataclass(frozen=True, slots=True)
class Choice:
    """The best document of the group, or an abstention. Attributes as in `Order`."""

    index: int | None
    size: int
    explanation: str | None = None
    failure: str | None = None
    repairs: int = 0
    cut_tokens: tuple[int, ...] = ()
    usage: Usage = Usage()

    def order(self) -> tuple[int, ...]:
        """The chosen one first, the others as they were."""
        rest = [i for i in range(self.size) if i != self.index]
        return tuple(rest) if self.index is None else (self.index, *rest)

    def choice(self) -> int | None:
        """The chosen one."""
        return self.index

    def verdicts(self, size: int) -> list[Verdict]:
        """As for `Order`."""
        return _shared(self.explanation, self.failure, self.repairs, self.cut_tokens, self.usage, size)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a recipe says about a query's documents.

    Attributes:
        verdicts: one per document, in input order.
        order: input positions, best first, where a schedule made an order; None: sort the scores.
    """

    verdicts: tuple[Verdict, ...]
    order: list[int] | None = None

    def best_first(self, threshold: float | None = None) -> list[int]:
        """Input positions, best first, with every failed document at its own; an order has no threshold."""
        if self.order is None:
            return ranked(self.verdicts, threshold)
        failed = [i for i, verdict in enumerate(self.verdicts) if verdict.failure is not None]
        return put_back([i for i in self.order if self.verdicts[i].failure is None], failed)

    def with_reasons(self) -> list[Verdict]:
        """The verdicts; where scores are the result, one without a score is a failure, with a reason."""
        if self.order is not None:
            return list(self.verdicts)
        return [
            replace(verdict, failure="no reason given")
            if verdict.score is None and verdict.failure is None
            else verdict
            for verdict in self.verdicts
        ]


def _shared(
    explanation: str | None,
    failure: str | None,
    repairs: int,
    cut_tokens: Sequence[int],
    usage: Usage,
    size: int,
) -> list[Verdict]:
    return [
        Verdict(
            None,
            explanation=explanation,
            failure=failure,
            cut_tokens=cut_tokens[i] if cut_tokens else 0,
            repairs=repairs if i == 0 else 0,
            usage=usage if i == 0 else Usage(),
        )
        for i in range(size)
    ]


def ranked(verdicts: Sequence[Verdict], threshold: float | None = None) -> list[int]:
    """Input positions, best first.

    Sorted by score, ties as `limrank_plugins.ties` says. Those under the threshold are left out. A failed
    document is put back at its input position.
    """
    judged = [
        i
        for i, verdict in enumerate(verdicts)
        if verdict.score is not None and (threshold is None or verdict.score >= threshold)
    ]
    failed = [i for i, verdict in enumerate(verdicts) if verdict.score is None]
    keys = score_keys([verdicts[i] for i in judged])
    return put_back([judged[place] for place in best_first(keys)], failed)


def put_back(order: list[int], failed: Sequence[int]) -> list[int]:
    """The order with the failed documents (ascending) back at their input positions, or at its end."""
    whole = list(order)
    for i in failed:
        whole.insert(min(i, len(whole)), i)
    return whole
