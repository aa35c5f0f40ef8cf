"""Options as they are written behind a recipe's name, and recipes as they are written in an option."""

from __future__ import annotations

import re
from typing import Any

from limrank_plugins.errors import InputError


def parse_options(name: str, text: str) -> dict[str, Any]:
    """The options in `"window=10,stride=5"`; values that are numbers become numbers.

    Args:
        name: the recipe's name as it was written, for messages.
        text: what follows its colon; empty for no options.

    Raises:
        InputError: a piece that is not `option=value`.
    """
    options: dict[str, Any] = {}
    for piece in filter(None, _split(text, ",")):
        key, equals, value = (side.strip() for side in piece.partition("="))
        if not key or not equals or not value:
            raise InputError(f"recipe options are written name:option=value,option=value, but got {name!r}")
        options[key] = _value(value)
    return options


def part_names(text: object) -> list[str]:
    """The recipes named in an option: `"mini+rankgpt(window=10)"` is `["mini", "rankgpt:window=10"]`.

    Raises:
        InputError: the option is no text.
    """
    if not isinstance(text, str):
        raise InputError(f"a part is the name of a recipe, but got {text!r}")
    return [re.sub(r"\((.*)\)$", r":\1", name.strip(), flags=re.DOTALL) for name in _split(text, "+")]


def part_name(text: object, option: str) -> str:
    """The one recipe named in an option.

    Raises:
        InputError: there are several.
    """
    names = part_names(text)
    if len(names) != 1:
        raise InputError(f"{option} is one recipe, but got {text!r}; recipe 'fuse' takes several")
    return names[0]


def _value(text: str) -> Any:
    """A number where it is one, or the text."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", text):
        return float(text)
    return text


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators that are in no parentheses."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == separator and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces
