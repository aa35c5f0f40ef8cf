"""The part of a recipe that is the same for all recipes made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from limrank_plugins.recipe import Part, Recipe, Wrapper
from limrank_plugins.recipes import load_recipe


def wrapped(
    name: str,
    summary: str,
    oracle: Literal["score", "order"],
    wrapper: Wrapper,
    parts: Sequence[str],
    *,
    calls: str,
    tokens: str,
    paper: str,
) -> Recipe:
    """A recipe of these parts; model, backend and reasoning are the last one's.

    Args:
        name: as for `Recipe`, and so are `summary`, `oracle`, `calls`, `tokens` and `paper`.
        summary: one line for people.
        oracle: what its result is.
        wrapper: made for these parts here, see `Wrapper.of`.
        parts: recipes by name.
        calls: per query.
        tokens: per query.
        paper: where the method is published.

    Raises:
        InputError: there is no such recipe, or the wrapper can make no ranking of them.
    """
    recipes = [load_recipe(part) for part in parts]
    wrapper, last = wrapper.of(recipes), recipes[-1]
    return Recipe(
        name=name,
        summary=summary,
        oracle=oracle,
        readout=None,
        schedule=None,
        wrapper=wrapper,
        parts=tuple(Part(part) for part in parts),
        score_kind=wrapper.score_kind,
        backend=last.backend,
        model=last.model,
        reasoning=last.reasoning,
        max_reasoning_tokens=last.max_reasoning_tokens,
        calls=calls,
        tokens=tokens,
        paper=paper,
        licence=last.licence if len(recipes) == 1 else f"those of the parts; {last.licence}",
    )
