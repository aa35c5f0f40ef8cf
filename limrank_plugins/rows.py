"""One row of a file; one that cannot be used is an error, or is left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from limrank_plugins.errors import InputError

_KEPT = 4_000  # characters of a reason: it may quote a value of megabytes


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        where: file and line (or row, where lines mean nothing), for messages.
        number: that line or row, from 1.
        values: by column or field.
    """

    where: str
    number: int
    values: dict[str, Any]


Unusable = Callable[[InputError], None]
"""Called with what is wrong with a row. It raises that, or returns: then the row is left out."""


def refused(error: InputError) -> None:
    """Raise what is wrong with a row: where every row must be right."""
    raise error


class NoTextField(InputError):
    """No field of a row, or column of a table, is named as those of texts are.

    Attributes:
        likely: the one that holds the longest text; "" where none holds two words.
    """

    def __init__(self, message: str, likely: str) -> None:
        super().__init__(message)
        self.likely = likely


def likely_field(values: Mapping[str, Any]) -> str:
    """The field of a row that holds the longest text; "" where none holds two words."""
    texts = {name: value for name, value in values.items() if isinstance(value, str) and " " in value.strip()}
    return max(texts, key=lambda name: len(texts[name]), default="")


@dataclass(slots=True)
class LeftOut:
    """Counts the rows of a file that cannot be used; of their reasons, only the first is kept.

    Attributes:
        count: how many.
        first: why the first one cannot be used.
        likely: its field that may hold the text, where none is named so.
    """

    count: int = 0
    first: str = ""
    likely: str = ""

    def __call__(self, error: InputError) -> None:
        """Leave out a row."""
        if not self.count:
            self.first = str(error)[:_KEPT]
            self.likely = error.likely if isinstance(error, NoTextField) else ""
        self.count += 1
