"""Which kind of model a recipe asks, and which recipes ask a model that was given to another one."""

from __future__ import annotations

from limrank_plugins.backends.local.model_kind import Kind, kind_of_model
from limrank_plugins.errors import InputError
from limrank_plugins.recipes import Recipe, own_recipes

_ASKED: dict[str, Kind] = {
    "encoder": "an encoder",
    "cross-encoder": "a cross-encoder",
    "transformers": "a language model",
    "llama-cpp": "a language model",
}
"""What runs on a backend; the others have models of more than one kind, or of their own."""
_RECIPES: dict[Kind, str] = {
    "a language model": "'qlm' or 'limrank' (--recipe qlm)",
    "an encoder": "'mini' (--recipe mini)",
    "a cross-encoder": "'cross-encoder' (--recipe cross-encoder)",
}


def check_model_kind(recipe: Recipe, backend: str | None, model: str | None) -> None:
    """Refuse a model of another kind than the recipe asks, as far as its files or its name tell.

    Args:
        recipe: one with a readout of its own.
        backend: the name of the backend; None for the recipe's.
        model: as `Reranker` takes it; None for the recipe's.

    Raises:
        InputError: it is of another kind; recipes that ask such are named.
    """
    asked = _ASKED.get(recipe.backend)
    if model is None or asked is None or backend not in (None, recipe.backend):
        return
    kind = kind_of_model(str(model)) or _kind_of_name(str(model))
    if kind is not None and kind != asked:
        raise InputError(
            f"recipe {recipe.name!r} needs {asked}, but model {str(model)!r} is {kind}: name a recipe that "
            f"asks one, such as {_RECIPES[kind]}"
        )


def _kind_of_name(model: str) -> Kind | None:
    """What the checkpoint of a recipe is; None for other models."""
    recipes = [recipe for recipe in own_recipes() if model in (recipe.model, *recipe.checkpoints)]
    kinds = {_ASKED.get(recipe.backend) for recipe in recipes}
    return kinds.pop() if len(kinds) == 1 else None
