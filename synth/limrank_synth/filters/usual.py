"""The filters that `limrank synth run` applies, in their order, with the limits that the settings give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_synth.filters import Filter
from limrank_synth.filters.agreement import Agreement
from limrank_synth.filters.coverage import Coverage
from limrank_synth.filters.decontamination import Decontamination, read_evaluation
from limrank_synth.filters.duplicates import Duplicates
from limrank_synth.filters.hardness import Hardness
from limrank_synth.filters.leakage import Leakage
from limrank_synth.filters.length_and_language import LengthAndLanguage
from limrank_synth.filters.trace_rules import TraceRules
from limrank_synth.guidelines import load_guidelines
from limrank_synth.settings import SynthSettings

# Cheap and certain ones first; what compares rows with each other sees only rows that are sound, and
# the shares of the guidelines are those of what is left.
_ORDER: tuple[tuple[str, Callable[..., Filter]], ...] = (
    ("trace_rules", TraceRules),
    ("length_and_language", LengthAndLanguage),
    ("leakage", Leakage),
    ("agreement", Agreement),
    ("duplicates", Duplicates),
    ("decontamination", Decontamination),
    ("hardness", Hardness),
    ("coverage", Coverage),
)
_NOT_LIMITS = frozenset({"name", "texts", "guidelines"})


def usual_filters(settings: SynthSettings, evaluation: Sequence[Path]) -> list[Filter]:
    """All filters, with their usual limits where `settings.filters` does not say otherwise.

    Args:
        settings: of the run. `filters` maps a filter's name (its module's) to its limits, or to False
            where it is to be left out.
        evaluation: files of queries or passages that no row may repeat; see `read_evaluation`.

    Raises:
        InputError: no such filter or limit, a limit that makes no sense, or a file that cannot be read.
    """
    known = load_guidelines(settings.guidelines)
    names = [name for name, _ in _ORDER]
    unknown = [name for name in settings.filters if name not in names]
    if unknown:
        raise InputError(f"there is no filter {unknown[0]!r}; there are: {', '.join(names)}")
    context: dict[str, dict[str, Any]] = {
        "length_and_language": {"words": known.words},
        "decontamination": {"texts": read_evaluation(evaluation)},
        "coverage": {"guidelines": known, "seed": settings.seed},
    }
    chosen: list[Filter] = []
    for name, make in _ORDER:
        limits = settings.filters.get(name, {})
        if limits is False:
            continue
        chosen.append(make(**context.get(name, {}) | _limits(name, make, limits)))
    return chosen


def _limits(name: str, make: Any, limits: Any) -> dict[str, Any]:
    """The limits of one filter, checked against its own.

    Raises:
        InputError: they are no table, or one of them does not exist or is of another type.
    """
    if not isinstance(limits, Mapping):
        raise InputError(f"filter {name!r} takes a table of limits, or false to leave it out, not {limits!r}")
    known = {f.name: f for f in fields(make) if f.name not in _NOT_LIMITS}
    checked: dict[str, Any] = {}
    for key, value in limits.items():
        if key not in known:
            raise InputError(f"filter {name!r} has no limit {key!r}; there are: {', '.join(known)}")
        if key == "words":
            checked[key] = _ranges(name, value)
            continue
        default = known[key].default
        right = isinstance(value, list) if isinstance(default, tuple) else _is_like(value, default)
        if not right:
            raise InputError(f"limit {key!r} of filter {name!r} must be like {default!r}, but is {value!r}")
        checked[key] = tuple(map(str, value)) if isinstance(value, list) else value
    return checked


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def _ranges(name: str, value: Any) -> dict[str, tuple[int, int]]:
    right = isinstance(value, Mapping) and all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
        and 0 <= pair[0] <= pair[1]
        for pair in value.values()
    )
    if not right:
        raise InputError(f"words of filter {name!r} must map names to [least, most], but is {value!r}")
    return {str(key): (pair[0], pair[1]) for key, pair in value.items()}
