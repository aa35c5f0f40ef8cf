"""The rerankers that a recipe made of others is run with; what was asked for is the last one's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from limrank_plugins.arguments import serves
from limrank_plugins.backends.protocols import Backend
from limrank_plugins.data import Query
from limrank_plugins.errors import BackendError, CapabilityError, InputError, LimRankError, MissingExtra
from limrank_plugins.prompts import instructed
from limrank_plugins.prompts.tasks import is_task
from limrank_plugins.recipes import Part, Recipe, as_recipe, parts_of


class HoldsBackend(Protocol):
    """A reranker, as far as it matters here."""

    backend: Backend

    def close(self) -> None:
        """Release what it loaded."""


R = TypeVar("R", bound=HoldsBackend)


def build_parts(
    build: Callable[..., R], recipe: Recipe, last: Mapping[str, Any], others: Mapping[str, Any]
) -> tuple[R, ...]:
    """One reranker for each part, in their order.

    Args:
        build: makes one of a recipe and keyword arguments: `Reranker`.
        recipe: what they are parts of.
        last: arguments of the last one; a backend in them that is an object also serves every other part
            that can ask it.
        others: arguments of all others.

    Raises:
        LimRankError: one that cannot be made; it is named, and what was loaded for the others is released.
    """
    instruction = last["instruction"]
    if is_task(instruction) and not _takes_task(recipe, last["template"]):
        instructed(Query("check"), instruction)  # says what they take instead
    *parts, last_part = recipe.parts
    backend = last["backend"]
    reasoning = last["reasoning"] or last_part.reasoning
    built = [_build(build, recipe, last_part, {**last, "reasoning": reasoning})]
    try:
        for part in parts:
            arguments = {**others, "reasoning": part.reasoning}
            if part.shared:
                arguments |= {"backend": built[0].backend, "template": last["template"]}
            elif backend is not None and not isinstance(backend, str) and serves(part, backend):
                arguments["backend"] = backend
            built.append(_build(build, recipe, part, arguments))
    except LimRankError:
        for reranker in built:  # nobody else knows of the models they have loaded
            reranker.close()
        raise
    return (*built[1:], built[0])


def _build(build: Callable[..., R], recipe: Recipe, part: Part, arguments: Mapping[str, Any]) -> R:
    """One of them, named where it cannot be made; the whole recipe, thinking or not, needs no name.

    A task is said to the parts that have a place for it.
    """
    if is_task(arguments["instruction"]) and not _takes_task(
        as_recipe(part.recipe), arguments.get("template")
    ):
        arguments = {**arguments, "instruction": None}
    try:
        return build(part.recipe, **arguments)
    except (InputError, CapabilityError, BackendError, MissingExtra) as error:
        if isinstance(part.recipe, Recipe):
            raise
        raise type(error)(f"{part.recipe!r}, a part of recipe {recipe.name!r}: {error}") from error


def _takes_task(recipe: Recipe, template: str | None) -> bool:
    """Whether a recipe, asking with this template, has a place for the task, or a part of it has one."""
    if recipe.parts:
        named = [None] * (len(recipe.parts) - 1) + [template]
        return any(_takes_task(part, name) for part, name in zip(parts_of(recipe), named, strict=True))
    asking = recipe.load_template(template)
    return asking is not None and asking.task is not None
