"""The best documents among those that match a filter, from a first stage that knows of no filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def best_matching(
    search: Callable[[int], list[Found]], matches: Callable[[Found], bool], k: int, size: int
) -> list[Found]:
    """The best `k` that match, fewer where fewer do: ever longer lists are searched for.

    Args:
        search: the best so many of all, or all that there are.
        matches: the filter.
        k: how many at most, at least 1.
        size: how many documents there are.
    """
    depth = max(10 * k, 100)  # a filter may leave little of the first
    while True:
        candidates = search(depth)
        matching = [candidate for candidate in candidates if matches(candidate)]
        if len(matching) >= k or len(candidates) < depth or depth >= size:
            return matching[:k]
        depth *= 10
