"""Settings files: TOML or YAML text into a dataclass; errors name the place, the value and the fix."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from limrank_plugins.errors import InputError, require

T = TypeVar("T")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Args:
        text: the file's text.
        where: the file's name, for messages.

    Raises:
        InputError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not TOML: {error}") from error


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping of a YAML text, read without running anything in it.

    Raises:
        InputError: it is not YAML, or no mapping.
        MissingExtra: PyYAML is not installed.
    """
    yaml = require("yaml", "training", "reading YAML")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{where} must hold names and their values, but holds {type(values).__name__}")
    return values


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
    return f"{place or 'it'}: {error['msg']}, but got {got!r}"


def _fields_at(kind: Any, place: Sequence[str | int]) -> list[str]:
    """The fields of the dataclass that stands at this place."""
    for part in place:
        hint = get_type_hints(kind).get(str(part))  # none for the key of a mapping: `kind` is its values'
        kind = next((option for option in (hint, *get_args(hint)) if is_dataclass(option)), kind)
    return [field.name for field in fields(kind)]
