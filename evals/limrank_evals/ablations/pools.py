"""Files of training rows as pools to draw from: of every row what a draw goes by, and where its line is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, read_lines
from limrank_plugins.pipes import regular_file

ROWS = "rows.jsonl"
"""What `limrank synth run` and `limrank synth mix` call the rows in their folders."""

COLUMNS = ("label", "source", "kind", "domain", "difficulty", "intent")
"""What a row can be drawn by; "" for what a row does not say."""


class TrainingRow(NamedTuple):
    """A row without its text.

    Attributes:
        pool: the name of its pool.
        line: its line in the pool's file, from 1.
        digest: of query and passage, white space aside; of the whole row where it has no such texts.
        content: of the line as it stands.
        label: `true`, `false`, or a grade.
        source: where its texts come from, by name.
        kind, domain, difficulty, intent: as `limrank synth` writes them.
    """

    pool: str
    line: int
    digest: bytes
    content: bytes
    label: str
    source: str
    kind: str
    domain: str
    difficulty: str
    intent: str


@dataclass(frozen=True, slots=True)
class Pool:
    """A file of rows.

    Attributes:
        name: what arms call it.
        path: the file.
        rows: its rows; of rows with the same query and passage, the first one.
        repeated: how many others were left out.
    """

    name: str
    path: Path
    rows: tuple[TrainingRow, ...]
    repeated: int = 0


def read_pool(name: str, path: str | os.PathLike[str]) -> Pool:
    """Read a pool: JSON objects, one a line, of whatever a plan's objective learns.

    Args:
        name: what arms call it.
        path: a file (`.gz` is unpacked), or the folder of a synthesis or a mix.

    Raises:
        InputError: there is no such file, a line is no JSON object, or there is none.
    """
    file = regular_file(Path(path) / ROWS if Path(path).is_dir() else path)
    rows: dict[bytes, TrainingRow] = {}
    repeated = 0
    for (number, line), (_, values) in zip(read_lines(file), json_rows(file), strict=True):
        row = _row(name, number, line, values)
        if row.digest in rows:
            repeated += 1
        else:
            rows[row.digest] = row
    if not rows:
        raise InputError(f"{file} holds no rows")
    return Pool(name, file, tuple(rows.values()), repeated)


def lines_of(pool: Pool, numbers: Collection[int]) -> dict[int, str]:
    """The lines of these numbers, as they stand in the pool's file."""
    return {number: line for number, line in read_lines(pool.path) if number in numbers}


def _row(pool: str, number: int, line: str, values: dict[str, Any]) -> TrainingRow:
    texts = [values.get("query"), values.get("passage")]
    pointwise = all(isinstance(text, str) for text in texts)
    content: Any = (
        [" ".join(text.split()) for text in texts if isinstance(text, str)] if pointwise else values
    )
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).digest()[:16]
    label = next((values[key] for key in ("relevant", "verdict", "grade", "score") if key in values), "")
    return TrainingRow(
        pool,
        number,
        digest,
        hashlib.sha256(line.encode("utf-8", "surrogatepass")).digest()[:16],
        str(label).strip().lower(),
        _source(values.get("sources")),
        *(_text(values.get(column)) for column in COLUMNS[2:]),
    )


def _source(sources: Any) -> str:
    if not isinstance(sources, list):
        return _text(sources)
    names = [source.get("name", "") if isinstance(source, dict) else source for source in sources]
    return " + ".join(str(name) for name in names)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
