"""Queries and ranked candidates of texts and images, as a first stage returned them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.images import image_files
from limrank_plugins.segments import clean_text
from limrank_training.data.passage_rows import read_objects

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
        return ",".join(["image"] * bool(self.files) + ["text"] * bool(self.text.strip()))


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

    asked: Content
    wants: str
    candidates: tuple[Content, ...]
    positives: tuple[int, ...]
    where: str

    @property
    def query(self) -> str:
        """What tells queries apart, for the split."""
        return "\n".join([self.asked.text, *(file.name for file in self.asked.files)])


def read_multimodal_rows(path: str | os.PathLike[str]) -> Iterator[MultimodalRow]:
    """The rows of a JSONL file.

    A line has `query` (a text, may be empty with `images`), `images` (files in the folder of the JSONL or
    below), `wants` (`"text"`, `"image"` or `"image,text"`) and `candidates`, best first: each with `text` or
    `images` or both, and `relevant`.

    Raises:
        InputError: a line that is not as it should be; it is named.
    """
    for where, row in read_objects(path):
        _known(row, _KNOWN, where)
        wants = row.get("wants")
        if wants not in KINDS:
            raise InputError(f"{where}: 'wants' must be one of {'; '.join(KINDS)}, but is {wants!r}")
        asked = _item(row, "query", path, where)
        given = row.get("candidates")
        if not isinstance(given, list) or not given:
            raise InputError(f"{where}: 'candidates' must be a list of one or more")
        candidates, positives = [], []
        for number, one in enumerate(given):
            at = f"{where}, candidate {number}"
            if not isinstance(one, dict):
                raise InputError(f"{at}: expected an object, but got {str(one)[:80]!r}")
            _known(one, _CANDIDATE, at)
            if not isinstance(one.get("relevant"), bool):
                raise InputError(f"{at}: 'relevant' must be true or false, but is {one.get('relevant')!r}")
            candidates.append(_item(one, "text", path, at))
            if one["relevant"]:
                positives.append(number)
                if candidates[-1].kind != wants:
                    raise InputError(
                        f"{at}: it is relevant, but its kind is {candidates[-1].kind}, not {wants}"
                    )
        if len(set(candidates)) < len(candidates):
            raise InputError(f"{where}: one candidate comes twice")
        yield MultimodalRow(asked, wants, tuple(candidates), tuple(positives), where)


def _item(row: dict[str, Any], name: str, path: str | os.PathLike[str], where: str) -> Content:
    text = row.get(name, "")
    if not isinstance(text, str):
        raise InputError(f"{where}: {name!r} must be a text, but is {text!r}")
    files = tuple(image_files(row.get("images"), path, where))
    for file in files:
        if not file.is_file():
            raise InputError(f"{where}: there is no image {file.name!r} beside the file")
    if not text.strip() and not files:
        raise InputError(f"{where}: there is neither a text {name!r} nor an image")
    return Content(clean_text(text), files)


def _known(row: dict[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(set(row) - names)
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; known: {', '.join(sorted(names))}")
