"""From the arguments of `Reranker` to settings and backends, with what is wrong named early."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from limrank_plugins.backends import backend_class, backend_names
from limrank_plugins.backends.loading_time import timed_loading
from limrank_plugins.backends.local.placement import check_device
from limrank_plugins.backends.protocols import Backend, ChecksLabels, CountsCuts
from limrank_plugins.calibration import Calibration, as_calibration
from limrank_plugins.checks import check_options
from limrank_plugins.data import Query, ScoreKind
from limrank_plugins.errors import CapabilityError, InputError
from limrank_plugins.model_kinds import check_model_kind
from limrank_plugins.pieces import check_splitter, piece_rule
from limrank_plugins.prompts import Template
from limrank_plugins.prompts.tasks import query_and_task
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.pairs import PairScore
from limrank_plugins.recipes import Part, Recipe, as_recipe, last_part, parts_of
from limrank_plugins.schedules import Chunks

Thinking = Literal["full", "none", "auto"]
"""What `Reranker(reasoning=…)` takes: always, never, or where it can change the top of the list."""


def settings_for(recipe: Recipe, reasoning: Thinking | None, **knobs: Any) -> Settings:
    """The settings of a recipe; the arguments are those of `Reranker`.

    Raises:
        InputError: a value that cannot be used; it is named.
    """
    if reasoning is not None and reasoning not in get_args(Thinking):
        raise InputError(f"reasoning must be 'full', 'none' or 'auto', but got {reasoning!r}")
    if reasoning in ("full", "auto") and recipe.reasoning is None:
        raise InputError(f"recipe {recipe.name!r} has no reasoning to switch on; leave reasoning out")
    if knobs["max_reasoning_tokens"] is None:
        knobs["max_reasoning_tokens"] = recipe.max_reasoning_tokens
    chosen = reasoning if reasoning is not None else recipe.reasoning
    settings = Settings("full" if chosen in ("full", "auto") else "none", **knobs)
    # Of a group, several samples are several permutations, which differ without any drawing.
    if settings.samples > 1 and recipe.wrapper is None and not recipe.permutes:
        if settings.reasoning != "full":
            raise InputError(
                f"samples={settings.samples} needs reasoning='full': a forward pass has one outcome"
            )
        if settings.temperature == 0:
            raise InputError(
                f"samples={settings.samples} at temperature=0 would repeat the same reasoning: "
                "give a temperature > 0"
            )
    return settings


def with_budget_of(template: Template | None, settings: Settings) -> Settings:
    """The settings with the reasoning's budget that the template brings, if it brings one."""
    if template is None or template.max_reasoning_tokens is None:
        return settings
    return replace(settings, max_reasoning_tokens=template.max_reasoning_tokens)


def backend_for(
    recipe: Recipe, backend: str | Backend | None, model: str | None, options: dict[str, Any]
) -> Backend:
    """The backend as it is, or made from its name (default: the recipe's).

    Raises:
        InputError: there is no such backend or option, options for a backend that is already made, or a model
            of another kind than the recipe asks.
    """
    if backend is not None and not isinstance(backend, str):
        return as_it_is(backend, model, options)
    check_model_kind(recipe, backend, model)
    name = backend if backend is not None else recipe.backend
    return named_backend(name, model if model is not None else recipe.model, options)


def as_it_is(backend: Backend, model: str | None, options: Mapping[str, Any]) -> Backend:
    """A backend that is already made.

    Raises:
        InputError: a model or options are given beside it.
    """
    if superfluous := [*(["model"] if model is not None else []), *options]:
        raise InputError(f"{', '.join(superfluous)}: give them to the backend itself, which is already made")
    return backend


def is_decided_by_model(recipe: Recipe) -> bool:
    """Whether only the loaded model's configuration says what its scores are, or those of a part."""
    if recipe.parts:
        return any(map(is_decided_by_model, parts_of(recipe)))
    return isinstance(recipe.readout, PairScore) and recipe.readout.activation == "model"


def as_loaded(recipe: Recipe, backend: Backend) -> Recipe:
    """The recipe with what only the loaded model and backend say of its scores.

    That is whether they are probabilities, and whether those of one list lean on each other.

    Raises:
        InputError: what it says is not known here.
    """
    recipe = replace(recipe, leaning=getattr(backend, "leaning", ""))
    if not isinstance(recipe.readout, PairScore) or not is_decided_by_model(recipe):
        return recipe
    readout = recipe.readout.of_backend(backend)
    kind: ScoreKind = "probability" if readout.activation == "sigmoid" else "logit"
    return replace(recipe, readout=readout, score_kind=kind)


def as_built(recipe: Recipe, parts: Sequence[Recipe]) -> Recipe:
    """A recipe made of others, with the kind of scores that its loaded parts turn out to have."""
    recipe = replace(recipe, leaning=next((part.leaning for part in parts if part.leaning), ""))
    kinds = [part.score_kind for part in parts]
    if recipe.wrapper is None or kinds == [part.score_kind for part in parts_of(recipe)]:
        return recipe
    wrapper = recipe.wrapper.of(parts)
    return replace(recipe, wrapper=wrapper, score_kind=wrapper.score_kind)


def named_backend(name: str, model: str, options: dict[str, Any]) -> Backend:
    """The backend of this name, made.

    Raises:
        InputError: there is no such backend or option.
    """
    kind = backend_class(name)
    check_options(f"backend {name!r}", kind, model, **options)
    with timed_loading():
        backend: Backend = kind(model, **options)
    return backend


def takes(backend: str, option: str) -> bool:
    """Whether the backend of this name can be given an option.

    Raises:
        InputError: there is no such backend.
    """
    parameters = inspect.signature(backend_class(backend)).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return takes_all or option in parameters


def check_device_for(recipe: Recipe, backend: str | None, device: object) -> None:
    """Check before anything is loaded that the recipe's model can be put on this device; None is the default.

    Raises:
        InputError: it is no device, none of this machine, or the backend takes none.
    """
    if device is None:
        return
    check_device(device)
    name = backend if backend is not None else recipe.backend
    if not recipe.parts and not takes(name, "device"):
        raise InputError(f"backend {name!r} takes no device: leave it out, or name another backend")


def check_made(recipe: Recipe, backend: str | None, options: Collection[str]) -> None:
    """Check before anything is loaded that there is such a backend, and that it takes these options.

    Args:
        recipe: of one that is made of others, the last part's backend gets them.
        backend: None for the recipe's.
        options: their names.

    Raises:
        InputError: there is no such backend or option.
    """
    if backend is None and not options:
        return
    name = backend if backend is not None else last_part(recipe).backend
    check_options(f"backend {name!r}", backend_class(name), "", **dict.fromkeys(options))


def serves(part: Part, backend: Backend) -> bool:
    """Whether a backend that was handed over can be asked what this part of a recipe needs, too.

    Of a part that is made of others, that is its last one, which a backend that is handed over goes to.
    """
    recipe = as_recipe(part.recipe)
    if recipe.parts:
        return serves(recipe.parts[-1], backend)
    reasoning = part.reasoning if part.reasoning is not None else recipe.reasoning
    settings = Settings(reasoning="none" if reasoning is None else reasoning)
    return all(isinstance(backend, capability) for capability in recipe.needs(settings))


def check_backend(recipe: Recipe, settings: Settings, template: Template | None, backend: Backend) -> None:
    """Raise for a backend that cannot be asked what the recipe needs, or labels it cannot read.

    Raises:
        CapabilityError: it says which backends can.
        InputError: a label that is not one token, or an instruction that is not known.
    """
    for capability in recipe.needs(settings):
        if not isinstance(backend, capability):
            having = [name for name in backend_names() if has_capability(backend_class(name), capability)]
            unreasoned = recipe.needs(replace(settings, reasoning="none"))
            can = recipe.reasoning is not None and all(isinstance(backend, kind) for kind in unreasoned)
            advice = "; without reasoning (reasoning='none') it can" if can else ""
            raise CapabilityError(
                f"recipe {recipe.name!r} needs a backend that {says(capability)}, which "
                f"{backend.name!r} cannot be asked; these can: {', '.join(having) or 'none'}{advice}"
            )
    if template is not None and template.labels and isinstance(backend, ChecksLabels):
        backend.check_labels(template.labels, template.close)
    query_and_task(Query("check"), settings.instruction, template)


def check_calibrates(recipe: Recipe) -> None:
    """Raise an `InputError` for a recipe whose scores cannot be turned into probabilities."""
    if why := why_not_calibrated(recipe):
        raise InputError(f"recipe {recipe.name!r} cannot be calibrated: {why}")


def why_not_calibrated(recipe: Recipe) -> str:
    """Why a recipe's scores cannot be turned into probabilities, or "" where they can."""
    if recipe.score_kind == "rank":
        return "it gives an order and no scores"
    return "" if recipe.comparable else recipe.leaning or "its scores are not comparable between queries"


def calibration_for(recipe: Recipe, calibration: Any, *, loaded: bool = False) -> Calibration | None:
    """The calibration, read where it is a file; None where none is given.

    Args:
        recipe: whose scores it is for.
        calibration: as given to `Reranker`.
        loaded: whether the recipe says what its model's configuration says of the scores.

    Raises:
        InputError: it cannot be read, was fitted for another recipe, or the recipe cannot have one.
    """
    if calibration is None:
        return None
    fitted = as_calibration(calibration)
    check_calibrates(recipe)
    kind = recipe.score_kind if loaded or not is_decided_by_model(recipe) else fitted.score_kind
    if (fitted.recipe, fitted.score_kind) != (recipe.name, kind):
        raise InputError(
            f"the calibration was fitted for recipe {fitted.recipe!r} with scores of kind "
            f"{fitted.score_kind!r}, but this is {recipe.name!r} with {recipe.score_kind!r}: run "
            f"`limrank calibrate` for it"
        )
    return fitted


def takes_chunks(recipe: Recipe) -> bool:
    """Whether long documents can be judged by their pieces: each of its scores is of one document alone."""
    if recipe.parts:
        return recipe.score_kind != "rank" and all(map(takes_chunks, parts_of(recipe)))
    return recipe.schedule == Chunks(1)


def check_chunks(recipe: Recipe, chunks: str | None) -> None:
    """Check before anything is loaded that this recipe can judge long documents by their pieces.

    Raises:
        InputError: it judges documents together, or orders them.
        MissingExtra: what splits texts is not installed.
    """
    if chunks is None:
        return
    if not takes_chunks(recipe):
        raise InputError(
            f"chunks={chunks!r} needs a recipe that scores each document alone, which {recipe.name!r} does "
            f"not: leave it out, or use one such as 'limrank' or 'cross-encoder'"
        )
    check_splitter()


def check_lengths(backend: Backend, template: Template | None, chunks: str | None) -> None:
    """Check that the length of a piece is known.

    Raises:
        InputError: the backend cannot count what fits, and no number of words is given.
    """
    if chunks is None or isinstance(backend, CountsCuts) or piece_rule(chunks).words is not None:
        return
    limit = None if template is None else template.passage.limit
    if limit is None or limit.unit != "words":
        raise InputError(
            f"chunks={chunks!r}: backend {backend.name!r} does not know what fits its model; say how long a "
            f"piece is, as in chunks={piece_rule(chunks).how + ':300 words'!r}"
        )


def check_on_failure(on_failure: str) -> str:
    """`on_failure`, if it is one of the two choices; else raises an `InputError`."""
    if on_failure not in ("mark", "raise"):
        raise InputError(f"on_failure must be 'mark' or 'raise', but got {on_failure!r}")
    return on_failure


def says(capability: type[Any]) -> str:
    """What a backend with this capability can do, for messages."""
    return (capability.__doc__ or capability.__name__).split(".")[0].lower()


def has_capability(kind: type[Any], capability: type[Any]) -> bool:
    """Whether backends of this class can be asked this."""
    methods = [name for name in vars(capability) if not name.startswith("_")]
    return all(hasattr(kind, name) for name in methods)
