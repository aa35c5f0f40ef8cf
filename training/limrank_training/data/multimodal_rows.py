"""Queries and ranked candidates of texts and images, as a first stage returned them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.usable import can_be_seen
from limrank_plugins.segments import clean_text
from limrank_training.data.row_fields import (
    check_columns,
    existing_images,
    list_field,
    read_rows,
    text_field,
    truth_field,
)

KINDS = ("text", "image", "image,text")
_KNOWN = {"query_id", "query", "images", "wants", "candidates", "sources", "meta"}
_CANDIDATE = {"id", "text", "images", "relevant", "meta"}


@dataclass(frozen=True, slots=True)
class Content:
    """A text, images, or both."""

    text: str
    files: tuple[Path, ...] = ()

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return ",".join(["image"] * bool(self.files) + ["text"] * can_be_seen(self.text))


@dataclass(frozen=True, slots=True)
class MultimodalRow:
    """A query and what a first stage found for it.

    Attributes:
        asked: the query.
        wants: the kind of candidate that the query asks for.
        candidates: best first.
        positives: positions of those that answer.
        where: file and line.
    """

    content: Content
    wants: str
    candidates: tuple[Content, ...]
    positives: tuple[int, ...]
    where: str

    @property
    def query(self) -> str:
        """What tells queries apart, for the split."""
        return "\n".join([self.content.text, *(file.name for file in self.content.files)])


def read_multimodal_rows(path: str | os.PathLike[str]) -> Iterator[MultimodalRow]:
    """The rows of a JSONL file.

    A line has `query` (a text, may be empty with `images`), `images` (files in the folder of the JSONL or
    below), `wants` (`"text"`, `"image"` or `"image,text"`) and `candidates`, best first: each with `text` or
    `images` or both, and `relevant`.

    Raises:
        InputError: a line that is not as it should be; it is named.
    """
    for where, row in read_rows(path):
        check_columns(row, _KNOWN, where)
        wants = row.get("wants")
        if wants not in KINDS:
            raise InputError(f"{where}: 'wants' must be one of {'; '.join(KINDS)}, but is {wants!r}")
        query = _content(row, "query", path, where)
        candidates, positives = [], []
        for number, candidate in enumerate(list_field(row, "candidates", where)):
            place = f"{where}, candidate {number}"
            check_columns(candidate, _CANDIDATE, place)
            is_relevant = truth_field(candidate, "relevant", place)
            content = _content(candidate, "text", path, place)
            candidates.append(content)
            if is_relevant:
                positives.append(number)
                if content.kind != wants:
                    raise InputError(f"{place}: it is relevant, but its kind is {content.kind}, not {wants}")
        if len(set(candidates)) < len(candidates):
            raise InputError(f"{where}: one candidate comes twice")
        yield MultimodalRow(query, wants, tuple(candidates), tuple(positives), where)


def _content(row: dict[str, Any], name: str, path: str | os.PathLike[str], where: str) -> Content:
    text = text_field(row, name, where)
    files = existing_images(row.get("images"), path, where)
    if not can_be_seen(text) and not files:
        raise InputError(f"{where}: there is neither a text {name!r} nor an image")
    return Content(clean_text(text), files)
