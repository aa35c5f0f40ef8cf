"""Settings files: TOML or YAML text into a dataclass; errors name the place, the value and the fix."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from limrank_plugins.errors import InputError, require
from limrank_plugins.wording import shortened

T = TypeVar("T")

MOST_YAML = 10_000_000
"""The most that a YAML file may hold: its characters and values, aliases written out."""


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Args:
        text: the file's text.
        where: the file's name, for messages.

    Raises:
        InputError: it is not TOML, or holds what no setting can be.
    """
    try:
        return _writable(tomllib.loads(text))
    except _BROKEN as error:
        raise InputError(f"{where} is not TOML: {_reason(error)}") from error


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping of a YAML text, read without running anything in it.

    Raises:
        InputError: it is not YAML, or no mapping, holds what no setting can be, or its aliases (`*name`) make
            more of it than `MOST_YAML` characters: a few lines can stand for billions of values.
        MissingExtra: PyYAML is not installed.
    """
    yaml = require("yaml", "training", "reading YAML")
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root and _written_out(root, {}) > MOST_YAML:
            raise InputError(
                f"{where} holds more than {MOST_YAML:,} characters with its aliases (*name) written out: "
                f"write what is needed instead of them"
            )
        values = _writable(loader.construct_document(root)) if root else None
    except InputError:
        raise
    except (yaml.YAMLError, *_BROKEN) as error:
        raise InputError(f"{where} is not YAML: {_reason(error)}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{where} must hold names and their values, but holds {type(values).__name__}")
    return values


def _written_out(node: Any, known: dict[int, float]) -> float:
    """The characters and values of a YAML node, aliases written out; endless for one that holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is known
        if isinstance(node.value, str):
            size: float = len(node.value)
        else:  # a list of nodes, or of pairs of them
            inner = (part for item in node.value for part in (item if isinstance(item, tuple) else (item,)))
            size = sum(_written_out(part, known) for part in inner)
        known[id(node)] = 1 + size
    return known[id(node)]


def _writable(values: T) -> T:
    """The values, of which each can be shown: no number of thousands of digits, no date for a name."""
    json.dumps(values, default=str)
    return values


# The readers of both raise the like of these, too, at a date, a number or a tag that cannot be one.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, LookupError | AttributeError):
        return "a value cannot be read as what its tag (!!) says"
    if "integer string conversion" in str(error):
        return "it holds a number of thousands of digits"
    return " ".join(str(error).split())


def checked(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """The values as an instance of a dataclass; nested dataclasses, tuples and literals included.

    Types are strict: `1` is a float, but `"1"` and `True` are no whole numbers. A list becomes a tuple.

    Args:
        kind: the dataclass.
        values: by field name.
        where: what is read, for messages.

    Raises:
        InputError: fields that do not exist or are missing, or values of another type or out of bounds.
    """
    pydantic = require("pydantic", "synth", "reading settings")
    # As JSON, strict typing takes a list for a tuple and a table for a dataclass, and nothing else.
    text = json.dumps(values, default=str)
    try:
        value: T = pydantic.TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except pydantic.ValidationError as invalid:
        problems = invalid.errors(include_url=False)
    else:
        return value
    raise InputError(f"{where}: {'; '.join(dict.fromkeys(_problem(kind, problem) for problem in problems))}")


def _problem(kind: Any, error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    problem, got = error["type"], error["input"]
    if problem in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"there is no field {place!r}; there are: {', '.join(_fields_at(kind, error['loc'][:-1]))}"
    if problem in ("missing", "missing_argument"):
        return f"the field {place!r} is missing"
    if problem == "value_error":  # raised by the dataclass itself: it has its own words
        return str(error["ctx"]["error"])
    return f"{place or 'it'}: {error['msg']}, but got {shortened(repr(got))}"


def _fields_at(kind: Any, place: Sequence[str | int]) -> list[str]:
    """The fields of the dataclass that stands at this place."""
    for part in place:
        hint = get_type_hints(kind).get(str(part))  # none for the key of a mapping: `kind` is its values'
        kind = next((option for option in (hint, *get_args(hint)) if is_dataclass(option)), kind)
    return [field.name for field in fields(kind)]
