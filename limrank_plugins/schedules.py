"""Which documents are asked about together, in what order.

A schedule is called with the number of documents and gives a generator that knows no model: it
yields a list of groups (tuples of input positions) that may be asked about at the same time,
receives a `GroupVerdict` for each, and returns the final order of input positions, or None where the
verdicts' own scores are the result.

Sources: RankGPT's sliding window (arXiv 2304.09542), setwise heap and bubble sort (2310.09497),
pairwise ranking prompting (2306.17563), each as specified there rather than as released: the
released loops skip documents, or whole lists, for some numbers of documents.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.ties import best_first
from limrank_plugins.verdicts import GroupVerdict

Group = tuple[int, ...]
Plan = Generator[list[Group], Sequence[GroupVerdict], list[int] | None]


class Schedule(Protocol):
    """Calling it with a number of documents gives a plan."""

    def __call__(self, count: int) -> Plan:
        """The plan for `count` documents; it asks nothing where there is nothing to ask."""

    def calls(self, count: int) -> int:
        """The number of groups asked about (see each schedule: exact, or at most)."""


@dataclass(frozen=True, slots=True)
class Once:
    """All documents in one group: for readouts whose scores depend on the whole list. One call."""

    def __call__(self, count: int) -> Plan:
        """One group; none for an empty list."""
        if count:
            yield [tuple(range(count))]
        return None

    def calls(self, count: int) -> int:
        """Exact."""
        return min(count, 1)


@dataclass(frozen=True, slots=True)
class Chunks:
    """Independent groups of `size` documents, all at the same time. `Chunks(1)` is pointwise."""

    size: int = 1

    def __post_init__(self) -> None:
        whole_number("size", self.size, least=1)

    def __call__(self, count: int) -> Plan:
        """ceil(count / size) groups."""
        groups = [tuple(range(i, min(i + self.size, count))) for i in range(0, count, self.size)]
        if groups:
            yield groups
        return None

    def calls(self, count: int) -> int:
        """Exact."""
        return -(-count // self.size)


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Orders windows from the back of the list to its front.

    With a perfect orderer one pass brings the best `window - stride` documents of the whole list to
    the front, in order; every further pass starts that much lower and brings as many more.
    """

    window: int = 20
    stride: int = 10
    passes: int = 1

    def __post_init__(self) -> None:
        whole_number("window", self.window, least=2)
        whole_number("stride", self.stride, least=1)
        whole_number("passes", self.passes, least=1)
        if self.stride >= self.window:
            raise InputError(
                f"stride must be smaller than window, or documents cannot pass from one to the next, "
                f"but got stride={self.stride}, window={self.window}"
            )

    def __call__(self, count: int) -> Plan:
        """One window at a time; a window of one document is not asked about."""
        order = list(range(count))
        for head in self._heads(count):
            end = count
            while True:
                start = max(head, end - self.window)
                if end - start < 2:
                    break
                group = tuple(order[start:end])
                (verdict,) = yield [group]
                order[start:end] = [group[i] for i in verdict.order()]
                if start == head:
                    break
                end -= self.stride
        return order

    def calls(self, count: int) -> int:
        """Exact: for each pass over n documents, 1 if n <= window, else 1 + ceil((n - window) / stride)."""
        total = 0
        for head in self._heads(count):
            n = count - head
            if n >= 2:
                total += 1 if n <= self.window else 1 + -(-(n - self.window) // self.stride)
        return total

    def _heads(self, count: int) -> list[int]:
        return [p * (self.window - self.stride) for p in range(self.passes) if p == 0 or self._more(p, count)]

    def _more(self, p: int, count: int) -> bool:
        return p * (self.window - self.stride) < count - 1 and count > self.window


@dataclass(frozen=True, slots=True)
class HeapTopK:
    """The best `top` documents by a heap whose nodes have `children` children ("setwise heapsort").

    A group holds a node and its children, so up to `children + 1` documents. An abstention keeps
    the first stage's order. The documents after the first `top` keep theirs, too.

    With `released` the groups are those of the released code (ielab/llm-rankers): a node stands before its
    children, and an abstention keeps it above them, even one that just came from the bottom of the list.
    """

    children: int = 19
    top: int = 10
    released: bool = False

    def __post_init__(self) -> None:
        whole_number("children", self.children, least=1)
        whole_number("top", self.top, least=1)

    def __call__(self, count: int) -> Plan:
        """One group at a time."""
        if count < 2:
            return list(range(count))
        heap = list(range(count))
        for node in range((count - 2) // self.children, -1, -1):
            yield from self._sift(heap, node)
        best: list[int] = []
        while heap and len(best) < self.top:
            best.append(heap[0])
            last = heap.pop()
            if heap and len(best) < self.top:
                heap[0] = last
                yield from self._sift(heap, 0)
        chosen = set(best)
        return best + [i for i in range(count) if i not in chosen]

    def _sift(self, heap: list[int], node: int) -> Generator[list[Group], Sequence[GroupVerdict], None]:
        while True:
            first = node * self.children + 1
            places = [node, *range(first, min(first + self.children, len(heap)))]
            if len(places) == 1:
                return
            # In the first stage's order, so that whoever is first in doubt is first there, too.
            if not self.released:
                places.sort(key=heap.__getitem__)
            group = tuple(heap[place] for place in places)
            (verdict,) = yield [group]
            choice = verdict.choice()
            # The parent may be a document just moved up from the bottom: an abstention must not
            # crown it, so the first stage decides.
            winner = places[0 if choice is None else choice]
            if winner == node:
                return
            heap[node], heap[winner] = heap[winner], heap[node]
            node = winner

    def calls(self, count: int) -> int:
        """At most: one for every inner node below each inner node, and a path for each extraction."""
        if count < 2:
            return 0
        inner = (count - 2) // self.children + 1
        building = sum(self._height(node, count) for node in range(inner))
        return building + max(0, min(self.top, count) - 1) * self._height(0, count - 1)

    def _height(self, node: int, count: int) -> int:
        height = 0
        while node * self.children + 1 < count:
            node, height = node * self.children + 1, height + 1
        return height


@dataclass(frozen=True, slots=True)
class BubbleTopK:
    """The best `top` documents by bubbling the winner of each window towards the head.

    A group holds up to `window` documents. An abstention keeps the current order. A group that was
    asked about before is not asked again.

    Attributes:
        window: see above.
        top: places that are decided.
        symmetric: the readout asks about a group in every order, so that one whose documents were asked about
            in another order was asked about before.
    """

    window: int = 20
    top: int = 10
    symmetric: bool = field(default=False, repr=False)  # the order that comes out is the same

    def __post_init__(self) -> None:
        whole_number("window", self.window, least=2)
        whole_number("top", self.top, least=1)

    def __call__(self, count: int) -> Plan:
        """One group at a time."""
        order = list(range(count))
        known: dict[Group, int | None] = {}  # the document that was chosen
        for place in range(min(self.top, count - 1)):
            end = count
            while end - place > 1:
                start = max(place, end - self.window)
                group = tuple(order[start:end])
                name = tuple(sorted(group)) if self.symmetric else group
                if name not in known:
                    (verdict,) = yield [group]
                    choice = verdict.choice()
                    known[name] = None if choice is None else group[choice]
                chosen = known[name]
                if chosen is not None:
                    order.insert(start, order.pop(start + group.index(chosen)))
                end = start + 1
        return order

    def calls(self, count: int) -> int:
        """At most: for each place, ceil(documents behind it / (window - 1))."""
        return sum(
            -(-(count - 1 - place) // (self.window - 1)) for place in range(max(0, min(self.top, count - 1)))
        )


@dataclass(frozen=True, slots=True)
class ReleasedBubble:
    """`BubbleTopK` as it was released (ielab/llm-rankers), for reproducing its tables; not for anything else.

    The winner of a window changes places with its first document, and a later pass begins where the first
    window of an earlier one changed something. That can skip documents: even a perfect selector may get
    another order than the right one. The documents after the first `top` are put back in their order.
    """

    window: int = 20
    top: int = 10

    def __post_init__(self) -> None:
        whole_number("window", self.window, least=2)
        whole_number("top", self.top, least=1)

    def __call__(self, count: int) -> Plan:
        """One group at a time."""
        order = list(range(count))
        step, back = self.window - 1, count - self.window
        first = back
        for place in range(min(self.top, count - 1)):
            start, end, changed = first, first + self.window, False
            while True:
                start = max(start, place)
                group = tuple(order[start:end])
                choice = None
                if len(group) > 1:
                    (verdict,) = yield [group]
                    choice = verdict.choice()
                if choice:
                    order[start], order[start + choice] = order[start + choice], order[start]
                    if not changed and first != back and choice == len(group) - 1:
                        first += len(group) - 1
                    changed = True
                if start == place:
                    break
                if not changed:
                    first -= step
                start, end = start - step, end - step
        best = order[: self.top]
        return best + [i for i in range(count) if i not in best]

    def calls(self, count: int) -> int:
        """At most, as for `BubbleTopK`."""
        return BubbleTopK(self.window, self.top).calls(count)


@dataclass(frozen=True, slots=True)
class AllPairs:
    """Every pair in both orders, all at the same time (PRP-allpair).

    A document gets 1 for a pair it wins both ways round, and 0.5 where the two disagree or abstain.
    """

    def __call__(self, count: int) -> Plan:
        """Count · (count - 1) groups of two."""
        pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
        if not pairs:
            return list(range(count))
        verdicts = yield [group for i, j in pairs for group in ((i, j), (j, i))]
        points = [0.0] * count
        for number, (i, j) in enumerate(pairs):
            choices = verdicts[2 * number].choice(), verdicts[2 * number + 1].choice()
            if choices == (0, 1):
                points[i] += 1
            elif choices == (1, 0):
                points[j] += 1
            else:
                points[i] += 0.5
                points[j] += 0.5
        return best_first(points)

    def calls(self, count: int) -> int:
        """Exact."""
        return count * (count - 1)
