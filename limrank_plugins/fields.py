"""What the fields of a row are called, in the tables people have, and what they must hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.rows import NoTextField, likely_field
from limrank_plugins.tables import table_kind
from limrank_plugins.wording import shortened

ID_FIELDS = ("_id", "id", "docid", "doc_id", "docno", "pid", "passage_id")
"""What the field or column of a document's id may be called; the first that a row has is it."""

TITLE_FIELD = "title"
"""What the field of a document's title is called."""

QUERY_ID_FIELDS = ("_id", "id", "qid", "query_id", "query-id")
"""What the field of a query's id may be called."""

TEXT_FIELDS = ("text", "contents", "content", "body", "passage")
"""What the field of a document's text may be called: BEIR's, pyserini's, Haystack's and other people's."""

QUERY_FIELDS = ("text", "query", "question", "contents", "content")
"""What the field of a query's text may be called."""


def identifier_of(row: dict[str, Any], names: Sequence[str], where: str, *, needed: bool) -> str:
    """The id of a row, taken out of it: the first of these fields that it has; "" where it has none."""
    for name in names:
        key = _key(row, name)
        if key is not None:
            value = row.pop(key)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                raise InputError(f"{where}: {key!r} must be a string that is not empty, but is {value!r}")
            return str(value)
    if needed:
        raise InputError(f"{where}: no '_id', which the rows before have; the fields are {sorted(row)}")
    return ""


@dataclass(slots=True)
class Identifiers:
    """The ids of a file's rows; where the first row has none, file and line make them.

    Attributes:
        fields: what the field of an id may be called.
        name: of the file.
        what: a row is, for messages.
        seen: the ids of the rows that are used.
    """

    fields: Sequence[str]
    name: str
    what: str
    seen: set[str] = field(default_factory=set)
    _has_ids: bool | None = None

    def take(self, where: str, number: int, row: dict[str, Any]) -> str:
        """The id of a row, taken out of it."""
        identifier = identifier_of(row, self.fields, where, needed=self._has_ids is True)
        self._has_ids = bool(identifier) if self._has_ids is None else self._has_ids
        if not self._has_ids:
            identifier = f"{self.name}#{number}"
        check_new(identifier, self.seen, where, self.what)
        return identifier


def check_new(identifier: str, seen: set[str], where: str, what: str) -> None:
    """Raise an `InputError` for an id that was there before."""
    if identifier in seen:
        raise InputError(f"{where}: {what} id {identifier!r} was there before; every id must be unique")


def text_of(row: dict[str, Any], names: Sequence[str], where: str, *, is_null_empty: bool = False) -> str:
    """The text of a row, taken out of it: the first of these fields that it has."""
    key = _first_key(row, names)
    if key is None:
        are = " or ".join(map(repr, names)) if len(names) < 3 else f"{names[0]!r} (or {', '.join(names[1:])})"
        raise NoTextField(
            f"{where}: no field {are} for the text; the fields are {shortened(str(sorted(row)), 200)}"
            + ("" if names is QUERY_FIELDS else ": name the one that holds it (--field)"),
            likely_field(row),
        )
    value = row.pop(key)
    if value is None and is_null_empty:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: {key!r} must be a string, but is {value!r}")
    return value


def title_of(row: dict[str, Any], names: Sequence[str], where: str) -> str:
    """The title of a row, taken out of it: the first of these fields that it has; "" where it has none."""
    key = _first_key(row, names)
    title = None if key is None else row.pop(key)
    if title is not None and not isinstance(title, str):
        raise InputError(f"{where}: {key!r} must be a string, but is {title!r}")
    return title or ""


def _first_key(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """How a row writes the first of these names that it has."""
    return names[0] if names[0] in row else next(filter(None, (_key(row, name) for name in names)), None)


def _key(row: Mapping[str, Any], name: str) -> str | None:
    """How a row writes the name of a field: people's tables have `Text` and `ID`, too."""
    return name if name in row else next((key for key in row if key.strip().lower() == name.lower()), None)


def popped(row: dict[str, Any], name: str) -> Any:
    """A field of a row, taken out of it; None where it has none of that name."""
    key = _key(row, name)
    return None if key is None else row.pop(key)


def has_images(path: str | os.PathLike[str]) -> bool:
    """Whether `images` of a row are images, as JSON can name them; in a table it is a column like any."""
    return table_kind(path) not in ("CSV", "TSV", "Parquet")
