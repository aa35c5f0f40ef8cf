"""Checks of what a caller passed: numbers, texts and options; an `InputError` names the value and the fix."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Self

from limrank_plugins.errors import InputError
from limrank_plugins.wording import did_you_mean, shortened


def is_finite(value: Any) -> bool:
    """Whether this is a number that a float can hold: no NaN, no infinity, no number of 400 digits."""
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def whole_number(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number between two bounds, both included.

    Args:
        name: what the message calls it.
        value: what was passed; `True` and `1.0` are no whole numbers.
        least: the lower bound; None for none.
        most: the upper bound; None for none.

    Raises:
        InputError: it is something else, or out of bounds.
    """
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or (least is not None and value < least) or (most is not None and value > most):
        raise InputError(f"{name} must be a whole number{_bounds(least, most)}, but got {_shown(value)}")
    return int(value)


def finite_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> float:
    """A finite number between two bounds.

    Args:
        name: what the message calls it.
        value: what was passed; `True` is no number.
        least: the lower bound, included; None for none.
        above: the lower bound, excluded; None for none.
        most: the upper bound, included; None for none.

    Raises:
        InputError: it is something else, or out of bounds.
    """
    fits = isinstance(value, int | float) and not isinstance(value, bool) and is_finite(value)
    if (
        not fits
        or (least is not None and value < least)
        or (above is not None and value <= above)
        or (most is not None and value > most)
    ):
        bounds = _bounds(least, most, above)
        kind = "number" if bounds else "finite number"
        raise InputError(f"{name} must be a {kind}{bounds}, but got {_shown(value)}")
    return float(value)


def plain_text(name: str, value: Any) -> str:
    """A text as it is.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} must be a str, but got {type(value).__name__}: {_shown(value)}")
    return value


def true_or_false(name: str, value: Any) -> bool:
    """A switch: True or False, and nothing that counts as one of them.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, but got {_shown(value)}")
    return value


def check_options(owner: str, call: Callable[..., Any], *values: Any, **options: Any) -> None:
    """Check that a function or class takes these arguments, before it is called.

    Args:
        owner: what the message calls it, as in `backend 'openai'`.
        call: the function or class.
        values: its positional arguments.
        options: its keyword arguments.

    Raises:
        InputError: it has no parameter of that name, or one without a default is not given.
    """
    signature = inspect.signature(call)
    try:
        signature.bind(*values, **options)
    except TypeError as error:
        unknown = next((name for name in options if name not in signature.parameters), None)
        if unknown is None:
            raise InputError(f"{owner} has no such option: {error}") from error
        there = _names_of(list(signature.parameters.values())[len(values) :])
        near = did_you_mean(unknown, signature.parameters)
        fix = _or_names(near, there)
        raise InputError(f"{owner} has no such option: {unknown!r}; {fix}") from error


def check_names(owner: str, given: Iterable[str], known: Collection[str]) -> None:
    """Check the names of arguments, of which a value may be a key: none is shown.

    Raises:
        InputError: there is no such argument; those that there are, and the nearest, are named.
    """
    for name in given:
        if name not in known:
            fix = _or_names(did_you_mean(name, known), known)
            raise InputError(f"{owner} has no argument {name!r}; {fix}")


class NamesArguments:
    """A class whose constructor says, where it gets an argument that it has not, which ones there are."""

    def __new__(cls, *values: Any, **arguments: Any) -> Self:
        """Check the names of the arguments before `__init__` gets them."""
        check_names(cls.__name__, arguments, _names_of(inspect.signature(cls.__init__).parameters.values()))
        return super().__new__(cls)


def options_of_file(where: str, options: Mapping[str, Any], allowed: Collection[str]) -> dict[str, Any]:
    """Arguments that were read from a file: those that are allowed there, or none.

    A file can come from anyone. What makes a model run code (`trust_remote_code`, an engine's own arguments)
    is for whoever calls to say, so every place that passes a file's values on has a list of those it takes.

    Args:
        where: what the message calls the file or its part.
        options: what was read.
        allowed: what may be read.

    Raises:
        InputError: an argument that may not.
    """
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise InputError(
            f"{where} sets {unknown[0]!r}, which no file may set; it may set: {', '.join(sorted(allowed))}"
        )
    return dict(options)


def _names_of(parameters: Iterable[inspect.Parameter]) -> list[str]:
    """What can be given by name."""
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [each.name for each in parameters if each.kind not in several and each.name != "self"]


def _or_names(near: str, names: Collection[str]) -> str:
    """The nearest names, as a question, and all that there are."""
    there = f"there are: {', '.join(names)}" if names else "there are none"
    return f"{near} {there[0].upper()}{there[1:]}" if near else there


def _shown(value: Any) -> str:
    """What was passed, short enough for a message."""
    try:
        return shortened(repr(value))
    except ValueError:  # Python refuses to write a whole number of more than 4,300 digits
        return "a number of thousands of digits"


def _bounds(least: float | None, most: float | None, above: float | None = None) -> str:
    lower = f">= {least}" if least is not None else f"> {above}" if above is not None else ""
    upper = f"<= {most}" if most is not None else ""
    return " " + " and ".join(filter(None, (lower, upper))) if lower or upper else ""
