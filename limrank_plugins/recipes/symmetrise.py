"""One recipe asked about the list forwards and backwards, so that no place in it is favoured."""

from __future__ import annotations

from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes._options import part_name
from limrank_plugins.recipes.vote import voted
from limrank_plugins.wrappers.vote import Vote


def recipe(of: str = "rankgpt") -> Recipe:
    """The recipe of another one (`pairwise` symmetrises its pairs by itself)."""
    name = part_name(of, "of")
    return voted(
        "symmetrise",
        f"asks {name} about the list forwards and backwards and takes the mean of its answers",
        name,
        Vote(times=2, mirrored=True),
    )


RECIPE = recipe()
