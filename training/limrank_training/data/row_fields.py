"""The fields of a file's rows, checked: what is wrong with one is said with its file and line."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows
from limrank_plugins.images import image_files
from limrank_plugins.pipes import regular_file
from limrank_plugins.readouts.usable import can_be_seen
from limrank_plugins.wording import shortened


def read_rows(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file's lines, each with its file and line for messages.

    Raises:
        InputError: a line that holds none, or a file without lines.
    """
    is_empty = True
    for where, row in json_rows(regular_file(path)):  # a training reads its data several times
        is_empty = False
        yield where, row
    if is_empty:
        raise InputError(f"{os.fspath(path)} holds no rows")


def check_columns(row: dict[str, Any], known: Collection[str], where: str) -> None:
    """Raise an `InputError` for a column that is not known."""
    unknown = sorted(set(row) - set(known))
    if unknown and unknown[0] in ("score", "teacher"):
        raise InputError(
            f"{where}: unknown column {unknown[0]!r}: a teacher's scores are learned by objective distil "
            f"alone: take a plan of it, or rows without them"
        )
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; known: {', '.join(sorted(known))}")


def text_field(row: dict[str, Any], name: str, where: str) -> str:
    """A text, empty where the row has none.

    Raises:
        InputError: it is no text.
    """
    value = row.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{where}: {name!r} must be a text, but is {value!r}")
    return value


def filled_text(row: dict[str, Any], name: str, where: str) -> str:
    """A text that holds something that can be seen.

    Raises:
        InputError: it is missing, empty or no text.
    """
    value = text_field(row, name, where)
    if not can_be_seen(value):
        hidden = f": {shortened(repr(value))} holds nothing that can be seen" if value.strip() else ""
        raise InputError(f"{where}: {name!r} is missing or empty{hidden}")
    return value


def truth_field(row: dict[str, Any], name: str, where: str) -> bool:
    """A true or false that must be there.

    Raises:
        InputError: it is missing or something else.
    """
    value = row.get(name)
    if not isinstance(value, bool):
        raise InputError(f"{where}: {name!r} must be true or false, but is {value!r}")
    return value


def list_field(row: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """A list of one or more objects.

    Raises:
        InputError: it is missing, empty or something else.
    """
    values = row.get(name)
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: {name!r} must be a list of one or more")
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise InputError(
                f"{where}, {name.removesuffix('s')} {number}: expected an object, but got {str(value)[:80]!r}"
            )
    return values


def existing_images(names: object, path: str | os.PathLike[str], where: str) -> tuple[Path, ...]:
    """The image files that a row names, in the folder of its file or below.

    Raises:
        InputError: they are no names, lead out of the folder, or one is not there.
    """
    files = tuple(image_files(names, path, where))
    for file in files:
        if not file.is_file():
            raise InputError(f"{where}: there is no image {file.name!r} beside the file")
    return files
