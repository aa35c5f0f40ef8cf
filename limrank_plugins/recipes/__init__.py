"""A recipe is prompt × readout × schedule: one published system per file, ten declarative lines.

The table below maps names to modules, so that listing recipes imports none of them. Other
packages add their own through the entry-point group `limrank.recipes`: the entry's name is the
recipe's name, its object a `Recipe`.

A method with options is a module with a function `recipe(**options)` beside its `RECIPE`. Its options
can be given wherever a recipe is named: `insertrank:scale=rank`, `setwise:schedule=bubble,children=9`.
An option that is itself a recipe with options puts them in parentheses:
`cascade:first=mini,then=rankgpt(window=10,stride=5)`.

A recipe can also be made of others (`cascade`, `fuse`, `vote`): it then has a wrapper and parts
instead of a readout and a schedule.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from limrank_plugins.data import Document, ScoreKind
from limrank_plugins.errors import InputError
from limrank_plugins.readouts import Readout, Reasoning, Settings
from limrank_plugins.schedules import Schedule
from limrank_plugins.wrappers import Wrapper

_BUILT_IN = {
    "limrank": "limrank_plugins.recipes.limrank",
    "rank1": "limrank_plugins.recipes.rank1",
    "mini": "limrank_plugins.recipes.mini",
    "rankgpt": "limrank_plugins.recipes.rankgpt",
    "insertrank": "limrank_plugins.recipes.insertrank",
    "reasonrank": "limrank_plugins.recipes.reasonrank",
    "setwise": "limrank_plugins.recipes.setwise",
    "pairwise": "limrank_plugins.recipes.pairwise",
    "rank-r1": "limrank_plugins.recipes.rank_r1",
    "first": "limrank_plugins.recipes.first",
    "graded": "limrank_plugins.recipes.graded",
    "retro": "limrank_plugins.recipes.retro",
    "cross-encoder": "limrank_plugins.recipes.cross_encoder",
    "icr": "limrank_plugins.recipes.icr",
    "qlm": "limrank_plugins.recipes.qlm",
    "monot5": "limrank_plugins.recipes.monot5",
    "tildev2": "limrank_plugins.recipes.tildev2",
    "ragvl": "limrank_plugins.recipes.ragvl",
    "mm-embed": "limrank_plugins.recipes.mm_embed",
    "mm-r5": "limrank_plugins.recipes.mm_r5",
    "gliclass": "limrank_plugins.recipes.gliclass",
    "prior": "limrank_plugins.recipes.prior",
    "cascade": "limrank_plugins.recipes.cascade",
    "fuse": "limrank_plugins.recipes.fuse",
    "vote": "limrank_plugins.recipes.vote",
    "symmetrise": "limrank_plugins.recipes.symmetrise",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One of the recipes that another is made of.

    Attributes:
        recipe: its name, with options if it has any, or the recipe.
        reasoning: its own; None: the recipe's default.
        shared: it is run on the last part's backend rather than on its recipe's own.
    """

    recipe: str | Recipe
    reasoning: Reasoning | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """A ranking method, ready to be run on a backend that has what its readout needs.

    Attributes:
        name: what `Reranker(recipe=…)` and `--recipe` call it.
        summary: one line for people.
        oracle: what the model is asked: `"score"`, `"order"` or `"select"`.
        readout: how the answer is read; None for a recipe made of others.
        schedule: which documents are asked about together; None for a recipe made of others.
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
        max_reasoning_tokens: the default budget of a thought.
        prepare: what is done to a query's documents before they are asked about (InsertRank scales
            their priors over the whole list), or None. Rankings hold the documents as they came.
        wrapper: what makes one ranking of the parts' rankings, or None.
        parts: the recipes this one is made of. A model, a backend, reasoning and samples that are
            given to `Reranker` are the last one's.
    """

    name: str
    summary: str
    oracle: Literal["score", "order", "select"]
    readout: Readout | None
    schedule: Schedule | None
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
    max_reasoning_tokens: int = 8192
    prepare: Callable[[Sequence[Document]], Sequence[Document]] | None = None
    wrapper: Wrapper | None = None
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        asks = self.readout is not None and self.schedule is not None
        if asks == (self.wrapper is not None):
            raise InputError(
                f"recipe {self.name!r} needs either a readout and a schedule, or a wrapper and its parts"
            )

    @property
    def comparable(self) -> bool:
        """Whether scores of two lists may be compared."""
        if self.wrapper is not None:
            return self.wrapper.comparable
        return self.readout is not None and self.readout.comparable

    @property
    def permutes(self) -> bool:
        """Whether several samples are several permutations of each group, which vote."""
        return self.readout is not None and self.readout.permutes

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """The capability protocols its own readout asks for; a recipe made of others has none."""
        return () if self.readout is None else self.readout.needs(settings)


def recipe_names() -> list[str]:
    """Every recipe that can be named: ours first, then those of other packages."""
    others = {entry.name for entry in entry_points(group="limrank.recipes")} - set(_BUILT_IN)
    return [*_BUILT_IN, *sorted(others)]


def load_recipe(name: str, **options: Any) -> Recipe:
    """The recipe of this name, with its options given here or in the name.

    Example:
        >>> load_recipe("insertrank", scale="rank").prepare == load_recipe("insertrank:scale=rank").prepare
        True

    Raises:
        InputError: there is none, it has no such option, or another package's entry point is not a
            `Recipe`.
    """
    base, _, written = name.partition(":")
    options = _parsed(name, written) | options
    if base in _BUILT_IN:
        module = import_module(_BUILT_IN[base])
        recipe: object = _with_options(base, module, options) if options else module.RECIPE
    else:
        found = [entry for entry in entry_points(group="limrank.recipes") if entry.name == base]
        if not found:
            raise InputError(f"there is no recipe {base!r}; there are: {', '.join(recipe_names())}")
        if options:
            raise InputError(f"recipe {base!r} has no options, but got {', '.join(options)}")
        recipe = found[0].load()
    if not isinstance(recipe, Recipe):
        raise InputError(f"the entry point of recipe {base!r} is a {type(recipe).__name__}, not a Recipe")
    return recipe


def _with_options(base: str, module: Any, options: dict[str, Any]) -> Recipe:
    make = getattr(module, "recipe", None)
    known = list(inspect.signature(make).parameters) if make is not None else []
    unknown = [option for option in options if option not in known]
    if make is None or unknown:
        there = f"; there are: {', '.join(known)}" if known else ""
        raise InputError(f"recipe {base!r} has no option {', '.join(unknown)}{there}")
    made: Recipe = make(**options)
    # Named with its options, so that runs and journals of two variants are told apart.
    return replace(made, name=f"{base}:{','.join(f'{key}={value}' for key, value in options.items())}")


def _parsed(name: str, written: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, _outside_parentheses(written)):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or not equals or not value:
            raise InputError(f"recipe options are written name:option=value,option=value, but got {name!r}")
        options[key] = _value(value)
    return options


def _value(written: str) -> Any:
    """A number where it is one, or the text."""
    if written.isascii() and written.isdigit() and len(written) < 10:
        return int(written)
    if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", written):
        return float(written)
    return written


def _outside_parentheses(written: str) -> list[str]:
    """Split at the commas that are in no parentheses."""
    parts, depth = [""], 0
    for character in written:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def part_names(written: object) -> list[str]:
    """The recipes named in an option: `"mini+rankgpt(window=10)"` is `["mini", "rankgpt:window=10"]`.

    Raises:
        InputError: the option is no text.
    """
    if not isinstance(written, str):
        raise InputError(f"a part is the name of a recipe, but got {written!r}")
    names, depth = [""], 0
    for character in written:
        depth += (character == "(") - (character == ")")
        if character == "+" and depth == 0:
            names.append("")
        else:
            names[-1] += character
    return [re.sub(r"\((.*)\)$", r":\1", name.strip(), flags=re.DOTALL) for name in names]


def part_name(written: object, option: str) -> str:
    """The one recipe named in an option.

    Raises:
        InputError: there are several.
    """
    names = part_names(written)
    if len(names) != 1:
        raise InputError(f"{option} is one recipe, but got {written!r}; recipe 'fuse' takes several")
    return names[0]
