"""The rerankers that a recipe made of others is run with; what was asked for is the last one's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from limrank_plugins.arguments import serves
from limrank_plugins.backends.protocols import Backend
from limrank_plugins.errors import BackendError, CapabilityError, InputError, LimRankError, MissingExtra
from limrank_plugins.recipes import Part, Recipe


class Made(Protocol):
    """A reranker, as far as it matters here."""

    backend: Backend

    def close(self) -> None:
        """Release what it loaded."""


R = TypeVar("R", bound=Made)


def made_parts(
    make: Callable[..., R],
    recipe: Recipe,
    model: str | None,
    backend: str | Backend | None,
    shaping: dict[str, Any],
    common: dict[str, Any],
    options: dict[str, Any],
) -> tuple[R, ...]:
    """One reranker for each part, in their order.

    Args:
        make: makes one: `Reranker`.
        recipe: what they are parts of.
        model: of the last one.
        backend: of the last one; an object also serves every other part that can ask it.
        shaping: arguments of the last one: reasoning, samples, template, …
        common: arguments of all.
        options: of the last one's backend.

    Raises:
        LimRankError: one that cannot be made; it is named, and what was loaded for the others is released.
    """
    *others, last = recipe.parts
    mine = shaping | {"reasoning": shaping["reasoning"] or last.reasoning}
    made = [_part(make, recipe, last, model=model, backend=backend, **mine, **options)]
    try:
        for part in others:
            given: dict[str, Any] = common | {"reasoning": part.reasoning}
            if part.shared:
                given |= {"backend": made[0].backend, "template": shaping["template"]}
            elif backend is not None and not isinstance(backend, str) and serves(part, backend):
                given["backend"] = backend
            made.append(_part(make, recipe, part, **given))
    except LimRankError:
        for reranker in made:  # nobody else knows of the models they have loaded
            reranker.close()
        raise
    return (*made[1:], made[0])


def _part(make: Callable[..., R], recipe: Recipe, part: Part, **given: Any) -> R:
    """One of them, named where it cannot be made; the whole recipe, thinking or not, needs no name."""
    try:
        return make(part.recipe, **given)
    except (InputError, CapabilityError, BackendError, MissingExtra) as error:
        if isinstance(part.recipe, Recipe):
            raise
        raise type(error)(f"{part.recipe!r}, a part of recipe {recipe.name!r}: {error}") from error
