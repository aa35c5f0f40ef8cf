"""A recipe is prompt × readout × schedule: one published system per file, ten declarative lines.

A new recipe is a module here and its prompt's template (`prompts/NAME.toml`); its name is the module's, with
"-" for "_". Listing the names imports none of them. Other packages add their own through the entry-point
group `limrank.recipes`: the entry's name is the recipe's name, its object a `Recipe`.

A method with options is a module with a function `recipe(**options)` beside its `RECIPE`. Its options
can be given wherever a recipe is named: `insertrank:scale=rank`, `setwise:schedule=bubble,children=9`.
An option that is itself a recipe with options puts them in parentheses:
`cascade:first=mini,then=rankgpt(window=10,stride=5)`.

A recipe can also be made of others (`cascade`, `fuse`, `vote`): it then has a wrapper and parts
instead of a readout and a schedule.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any

from limrank_plugins.backends.smollm_weights import SMOLLM2
from limrank_plugins.errors import InputError
from limrank_plugins.recipe import Part as Part
from limrank_plugins.recipe import Recipe as Recipe
from limrank_plugins.recipes._options import parse_options
from limrank_plugins.wording import did_you_mean


def recipe_names() -> list[str]:
    """Every recipe that can be named: ours first, then those of other packages."""
    own = _own_modules()
    others = {entry.name for entry in entry_points(group="limrank.recipes")} - set(own)
    return [*own, *sorted(others)]


@cache
def own_recipes() -> tuple[Recipe, ...]:
    """Those of this package, without options."""
    return tuple(load_recipe(name) for name in _own_modules())


def load_recipe(name: str, **options: Any) -> Recipe:
    """The recipe of this name, with its options given here or in the name.

    Example:
        >>> load_recipe("insertrank", scale="rank").prepare == load_recipe("insertrank:scale=rank").prepare
        True

    Raises:
        InputError: there is none, it has no such option, or another package's entry point is not a
            `Recipe`.
    """
    base, _, text = name.partition(":")
    own = _own_modules()
    if base not in own and _names_model(name):
        raise InputError(f"there is no recipe {name!r}; {_advice_on_model(name)}")
    options = parse_options(name, text) | options
    if base in own:
        module = import_module(own[base])
        recipe: object = _with_options(base, module, options) if options else module.RECIPE
    else:
        entries = [entry for entry in entry_points(group="limrank.recipes") if entry.name == base]
        if not entries:
            names = recipe_names()
            fix = did_you_mean(base, names) or f"there are: {', '.join(names)}"
            raise InputError(f"there is no recipe {base!r}; {fix}")
        if options:
            raise InputError(f"recipe {base!r} has no options, but got {', '.join(options)}")
        recipe = entries[0].load()
    if not isinstance(recipe, Recipe):
        raise InputError(f"the entry point of recipe {base!r} is a {type(recipe).__name__}, not a Recipe")
    return recipe


def as_recipe(recipe: str | Recipe) -> Recipe:
    """The recipe of this name, or the recipe itself."""
    return load_recipe(recipe) if isinstance(recipe, str) else recipe


def parts_of(recipe: Recipe) -> list[Recipe]:
    """The recipes it is made of."""
    return [as_recipe(part.recipe) for part in recipe.parts]


def last_part(recipe: Recipe) -> Recipe:
    """The recipe that a model is asked by: itself, or the last one of those it is made of."""
    while recipe.parts:
        recipe = as_recipe(recipe.parts[-1].recipe)
    return recipe


def _names_model(name: str) -> bool:
    """Whether what was given as a recipe can only be a model: a hub name, a path, or the embedded one."""
    return "/" in name.partition("(")[0] or name.endswith(".gguf") or name == SMOLLM2


def _advice_on_model(name: str) -> str:
    """How a model is named that was given as a recipe."""
    recipe = next((r.name for r in own_recipes() if not r.parts and name in (r.model, *r.checkpoints)), None)
    if recipe is None:
        return f"a model goes into model=, as in Reranker('limrank', model={name!r})"
    return f"it is a model for recipe {recipe!r}: Reranker({recipe!r}, model={name!r})"


@cache
def _own_modules() -> dict[str, str]:
    """The recipes of this folder: by name, the module."""
    modules = sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return {name.replace("_", "-"): f"{__name__}.{name}" for name in modules}


def _with_options(base: str, module: Any, options: dict[str, Any]) -> Recipe:
    make = getattr(module, "recipe", None)
    known = list(inspect.signature(make).parameters) if make is not None else []
    unknown = [option for option in options if option not in known]
    if make is None or unknown:
        there = f"; there are: {', '.join(known)}" if known else ""
        raise InputError(f"recipe {base!r} has no option {', '.join(unknown)}{there}")
    recipe: Recipe = make(**options)
    # Named with its options, so that runs and journals of two variants are told apart.
    return replace(recipe, name=f"{base}:{','.join(f'{key}={value}' for key, value in options.items())}")
