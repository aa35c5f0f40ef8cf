"""Options that several commands take, as one dataclass: `@grouped` gives a command its fields as options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

R = TypeVar("R")


def grouped(command: Callable[..., R]) -> Callable[..., R]:
    """The command with every parameter that is a dataclass replaced by the dataclass's fields.

    Typer reads a command's options off its signature; this writes the signature. The fields come where
    the parameter stood, with their defaults and `Annotated` options.

    Raises:
        TypeError: two options have one name.
    """
    signature = inspect.signature(command, eval_str=True)
    groups = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation) and isinstance(parameter.annotation, type)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        # By keyword, so that an option with a default may stand before an argument without one.
        parameters += (
            _options(groups[name]) if name in groups else [parameter.replace(kind=parameter.KEYWORD_ONLY)]
        )
    names = [parameter.name for parameter in parameters]
    if len(set(names)) < len(names):
        raise TypeError(f"{command.__name__} has an option twice: {sorted(names)}")

    @functools.wraps(command)
    def wrapped(**given: Any) -> R:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **made)

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapped


def _options(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]
