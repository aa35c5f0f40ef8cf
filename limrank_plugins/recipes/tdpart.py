"""TDPart (arXiv 2405.14589): order a first window, then compare all other documents with its middle one."""

from __future__ import annotations

from limrank_plugins.partitions import TopDown
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes._windows import rescheduled


def recipe(of: str = "rankgpt", window: int = 20, cutoff: int = 10) -> Recipe:
    """Top-down partitioning of what another recipe asks about windows.

    Args:
        of: a recipe whose windows slide: `rankgpt`, `first`, `insertrank`, `reasonrank`, `mm-r5`.
        window: documents in a prompt.
        cutoff: the pivot's place in the first window; so many places of the result are sure.

    Raises:
        InputError: another kind of recipe, or numbers that make no sense.
    """
    return rescheduled(
        "tdpart",
        "orders a window, then compares all others with its 10th passage at once, and orders the better ones",
        of,
        TopDown(window, cutoff),
        window,
        calls="1 + ceil((N - 20) / 19) at once, then about 1; 1 for N <= 20",
        paper="arXiv:2405.14589",
    )


RECIPE = recipe()
