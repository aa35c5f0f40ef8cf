"""Schedules that find the top of a list by a pivot: every other document is only compared with it.

A pivot is put into windows of other documents, all of which can be asked about at the same time. What comes
out above it is ordered further; what comes out below keeps the order of its window. A perfect orderer brings
the best `cutoff` documents to the front, in order.

Sources: top-down partitioning (arXiv 2405.14589), and windows that share a pivot (2604.09492), whose pivot is
a passage that a model wrote: here it is a document of the list.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.schedules import Group, Plan
from limrank_plugins.verdicts import GroupVerdict

Steps = Generator[list[Group], Sequence[GroupVerdict], list[int]]


@dataclass(frozen=True, slots=True)
class TopDown:
    """Top-down partitioning: the pivot is the `cutoff`-th of the first window, once that is ordered.

    The paper stops comparing once enough documents are above the pivot, and so goes from window to window;
    here all windows are asked about at once, and all documents above it are ordered further, in the same way.
    """

    window: int = 20
    cutoff: int = 10

    def __post_init__(self) -> None:
        _check(self.window, self.cutoff)

    def __call__(self, count: int) -> Plan:
        """A first window, all others at once, and again for what is above the pivot."""
        return (yield from _top_down(list(range(count)), self.window, self.cutoff))

    def calls(self, count: int) -> int:
        """At most: where every document behind the first window is better than the pivot, again and again."""
        total = 0
        while count > self.window:
            total += 1 + -(-(count - self.window) // (self.window - 1))
            count -= self.window - self.cutoff + 1
        return total + (count > 1)


@dataclass(frozen=True, slots=True)
class SharedPivot:
    """Windows that share a pivot, the document at place `cutoff` of the list, all asked about at once.

    What is above it is ordered by top-down partitioning. Where that is fewer than `cutoff - 1` documents, so
    is what is below, for the places that are left.
    """

    window: int = 20
    cutoff: int = 10

    def __post_init__(self) -> None:
        _check(self.window, self.cutoff)

    def __call__(self, count: int) -> Plan:
        """All windows at once, then the top of the list."""
        documents = list(range(count))
        if count <= self.window:
            return (yield from _order(documents))
        pivot = documents.pop(self.cutoff - 1)
        above, below = yield from _compared(pivot, documents, self.window)
        best = yield from _top_down(above, self.window, self.cutoff)
        missing = self.cutoff - 1 - len(above)
        if missing > 0:
            below = yield from _top_down(below, self.window, missing)
        return [*best, pivot, *below]

    def calls(self, count: int) -> int:
        """At most: all windows, and one of the two lists that they leave."""
        if count <= self.window:
            return int(count > 1)
        after = TopDown(self.window, self.cutoff).calls(count - 1)
        for above in range(min(self.cutoff - 1, count)):
            below = TopDown(self.window, self.cutoff - 1 - above).calls(count - 1 - above)
            after = max(after, int(above > 1) + below)
        return -(-(count - 1) // (self.window - 1)) + after


def _check(window: int, cutoff: int) -> None:
    whole_number("window", window, least=2)
    whole_number("cutoff", cutoff, least=1)
    if cutoff >= window:
        raise InputError(
            f"cutoff must be smaller than window, or the pivot has no document below it, but got "
            f"cutoff={cutoff}, window={window}"
        )


def _top_down(documents: list[int], window: int, cutoff: int) -> Steps:
    first = yield from _order(documents[:window])
    if len(documents) <= window:
        return first
    pivot = first[cutoff - 1]
    above, below = yield from _compared(pivot, documents[window:], window)
    below = [*first[cutoff:], *below]
    if not above:
        return [*first[:cutoff], *below]
    best = yield from _top_down([*first[: cutoff - 1], *above], window, cutoff)
    return [*best, pivot, *below]


def _order(documents: list[int]) -> Steps:
    """The documents of one window, ordered; nothing is asked about one alone."""
    if len(documents) < 2:
        return documents
    (verdict,) = yield [tuple(documents)]
    return [documents[i] for i in verdict.order()]


def _compared(
    pivot: int, others: Sequence[int], window: int
) -> Generator[list[Group], Sequence[GroupVerdict], tuple[list[int], list[int]]]:
    """Which of the others are above the pivot and which are below, window by window.

    In doubt a document stays on the side of the pivot on which it is in the list.
    """
    size = window - 1
    groups = [tuple(sorted([pivot, *others[i : i + size]])) for i in range(0, len(others), size)]
    verdicts = yield groups
    above: list[int] = []
    below: list[int] = []
    for group, verdict in zip(groups, verdicts, strict=True):
        order = [group[i] for i in verdict.order()]
        place = order.index(pivot)
        above += order[:place]
        below += order[place + 1 :]
    return above, below
