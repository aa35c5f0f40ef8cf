"""Windows with a shared pivot (after arXiv 2604.09492): all of them are asked about at the same time."""

from __future__ import annotations

from limrank_plugins.partitions import SharedPivot
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes._windows import rescheduled


def recipe(of: str = "rankgpt", window: int = 20, cutoff: int = 10) -> Recipe:
    """Windows with a shared pivot of what another recipe asks about windows.

    The paper has a model write the pivot; here it is a document of the first stage.

    Args:
        of: as for `tdpart`.
        window: documents in a prompt, the pivot among them.
        cutoff: the pivot's place in the first stage's order; so many places of the result are sure.

    Raises:
        InputError: another kind of recipe, or numbers that make no sense.
    """
    return rescheduled(
        "shared-pivot",
        "compares all passages with the first stage's 10th, in windows at once; orders the better ones",
        of,
        SharedPivot(window, cutoff),
        window,
        calls="ceil((N - 1) / 19) at once, then about 1; 1 for N <= 20",
        paper="after arXiv:2604.09492",
    )


RECIPE = recipe()
