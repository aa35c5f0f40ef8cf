"""Several recipes rank the list; their ranks or scores are fused."""

from __future__ import annotations

from limrank_plugins.errors import InputError
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes._options import part_names
from limrank_plugins.recipes._wrapped import wrapped
from limrank_plugins.wrappers.fuse import Fuse, FusionMethod


def recipe(
    parts: str = "prior+mini",
    method: FusionMethod = "rrf",
    weights: str | float = "",
    k: int = 60,
) -> Recipe:
    """The recipe with other parts.

    Args:
        parts: recipes with `+` between; `prior` is the first stage itself.
        method: `"rrf"` fuses ranks; `"minmax"` scores between 0 and 1, `"zscore"` scores of mean 0 and
            standard deviation 1 within the list.
        weights: numbers with `+` between, one for each part; default: 1 each.
        k: of the reciprocal ranks.

    Raises:
        InputError: a value that cannot be used, or scores asked of a part that has none.
    """
    names = part_names(parts)
    try:
        numbers = tuple(float(number) for number in str(weights).split("+")) if weights != "" else ()
    except ValueError as error:
        raise InputError(f"weights are written like 1+2, but got {weights!r}") from error
    return wrapped(
        "fuse",
        "fuses what several recipes say (the first stage and mini): reciprocal ranks, or scores",
        "score",
        Fuse(method, numbers, k),
        names,
        calls="those of its parts",
        tokens="those of its parts",
        paper="reciprocal rank fusion, doi:10.1145/1571941.1572114",
    )


RECIPE = recipe()
