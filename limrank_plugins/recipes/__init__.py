"""A recipe is prompt × readout × schedule: one published system per file, ten declarative lines.

The table below maps names to modules, so that listing recipes imports none of them. Other
packages add their own through the entry-point group `limrank.recipes`: the entry's name is the
recipe's name, its object a `Recipe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Literal

from limrank_plugins.data import ScoreKind
from limrank_plugins.errors import InputError
from limrank_plugins.readouts import Readout, Reasoning
from limrank_plugins.schedules import Schedule

_BUILT_IN = {
    "limrank": "limrank_plugins.recipes.limrank",
    "rank1": "limrank_plugins.recipes.rank1",
    "mini": "limrank_plugins.recipes.mini",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A ranking method, ready to be run on a backend that has what its readout needs.

    Attributes:
        name: what `Reranker(recipe=…)` and `--recipe` call it.
        summary: one line for people.
        oracle: what the model is asked: `"score"`, `"order"` or `"select"`.
        readout: how the answer is read.
        schedule: which documents are asked about together.
        score_kind: what a score is.
        backend: the backend that is used where none is named.
        model: the checkpoint that is used where none is named.
        template: the prompt template's name, or None for recipes without a prompt.
        reasoning: the default; None where the method has no reasoning to switch.
        calls, tokens: per query, as formulas in N (documents), Q, D and T (tokens of the query part,
            of a document, of a thought).
        paper: where it is published.
        licence: of the checkpoint.
        checkpoints: other weights made for this recipe.
    """

    name: str
    summary: str
    oracle: Literal["score", "order", "select"]
    readout: Readout
    schedule: Schedule
    score_kind: ScoreKind
    backend: str
    model: str
    template: str | None = None
    reasoning: Reasoning | None = None
    calls: str = "N"
    tokens: str = "Q + N·D"
    paper: str = ""
    licence: str = ""
    checkpoints: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether scores of two lists may be compared."""
        return self.readout.comparable


def recipe_names() -> list[str]:
    """Every recipe that can be named: ours first, then those of other packages."""
    others = {entry.name for entry in entry_points(group="limrank.recipes")} - set(_BUILT_IN)
    return [*_BUILT_IN, *sorted(others)]


def load_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        InputError: there is none, or another package's entry point is not a `Recipe`.
    """
    if name in _BUILT_IN:
        recipe: object = import_module(_BUILT_IN[name]).RECIPE
    else:
        found = [entry for entry in entry_points(group="limrank.recipes") if entry.name == name]
        if not found:
            raise InputError(f"there is no recipe {name!r}; there are: {', '.join(recipe_names())}")
        recipe = found[0].load()
    if not isinstance(recipe, Recipe):
        raise InputError(f"the entry point of recipe {name!r} is a {type(recipe).__name__}, not a Recipe")
    return recipe
