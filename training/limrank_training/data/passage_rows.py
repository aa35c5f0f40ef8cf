"""Training rows of a file: what is wrong with one is said with its line number, before anything is loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines

_TEXTS = ("query", "passage", "trace")
# What else a synthesis writes beside what is learned; it is not read here.
_KNOWN = {
    *_TEXTS, "verdict", "relevant", "title", "id", "query_id", "intent", "false_claim", "kind", "domain",
    "difficulty", "votes", "second", "sources", "licence", "meta",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A judged passage.

    Attributes:
        query, passage: as the model will read them.
        trace: the reasoning before the verdict; empty where there is none.
        relevant: the verdict.
        where: file and line, for messages.
    """

    query: str
    passage: str
    trace: str
    relevant: bool
    where: str


def read_passage_rows(path: str | os.PathLike[str], *, traces: bool = True) -> Iterator[PassageRow]:
    """The rows of a JSONL file: `query`, `passage`, `trace`, and `relevant` (true, false) or `verdict`.

    What `limrank synth` writes can be read as it is; a `title` is put before the passage, as at inference.

    Args:
        path: the file; `.gz` is unpacked.
        traces: whether every row must have a trace.

    Raises:
        InputError: a row without a verdict, with an empty passage, an unknown column, …; its line is named.
    """
    for where, row in read_objects(path):
        yield _row(row, where, traces)


def read_objects(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file's lines, each with its file and line for messages.

    Raises:
        InputError: a line that holds none, or a file without lines.
    """
    some = False
    for number, line in read_lines(path):
        where = f"{os.fspath(path)}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected a JSON object, but got {line[:80]!r}")
        yield where, row
        some = True
    if not some:
        raise InputError(f"{os.fspath(path)} holds no rows")


def _row(row: dict[str, Any], where: str, traces: bool) -> PassageRow:
    unknown = sorted(set(row) - _KNOWN)
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; known: {', '.join(sorted(_KNOWN))}")
    texts = {name: row.get(name, "") for name in (*_TEXTS, "title")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise InputError(f"{where}: {name!r} must be a text, but is {value!r}")
    for name in ("query", "passage", *(["trace"] if traces else [])):
        if not texts[name].strip():
            raise InputError(f"{where}: {name!r} is missing or empty")
    title = texts["title"]
    passage = f"{title} {texts['passage']}" if title else texts["passage"]
    return PassageRow(texts["query"], passage, texts["trace"], _verdict(row, where), where)


def _verdict(row: dict[str, Any], where: str) -> bool:
    given = [row[name] for name in ("relevant", "verdict") if name in row]
    if not given:
        raise InputError(f"{where}: there is neither 'relevant' nor 'verdict'")
    read = [_truth(value) for value in given]
    if None in read:
        wrong = given[read.index(None)]
        raise InputError(f"{where}: the verdict must be true or false, but is {wrong!r}")
    if len(set(read)) > 1:
        raise InputError(f"{where}: 'relevant' is {given[0]!r}, but 'verdict' is {given[1]!r}")
    return bool(read[0])


def _truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None
