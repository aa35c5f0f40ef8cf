"""The files of a run: rows, rejections and report as JSON, each written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines, write_parts, write_whole
from limrank_plugins.segments import clean_text
from limrank_synth.records import LabelledPassage, Rejection

ROWS, REJECTED, REPORT, LEDGER = "rows.jsonl", "rejected.jsonl", "report.json", "ledger.sqlite"


def write_rows(path: str | os.PathLike[str], rows: Iterable[LabelledPassage]) -> None:
    """Rows as JSON lines; `.gz` compresses."""
    write_parts(Path(path), _lines(row.as_json() for row in rows))


def read_rows(path: str | os.PathLike[str]) -> Iterator[LabelledPassage]:
    """The rows of a file that `write_rows` wrote.

    Raises:
        InputError: a line that is no row; it is named.
    """
    for number, line in read_lines(path):
        try:
            data = json.loads(line)
        except ValueError as error:
            raise InputError(f"{os.fspath(path)}, line {number}: not JSON ({error})") from error
        if not isinstance(data, dict):
            raise InputError(f"{os.fspath(path)}, line {number}: expected a JSON object")
        try:
            yield LabelledPassage.from_json(data)
        except InputError as error:
            raise InputError(f"{os.fspath(path)}, line {number}: {error}") from error


def write_rejections(path: str | os.PathLike[str], rejections: Sequence[Rejection]) -> None:
    """What was thrown away, with its reasons; long texts are shortened to 2,000 characters."""
    write_parts(
        Path(path), _lines(asdict(rejection) | {"text": rejection.text[:2000]} for rejection in rejections)
    )


def write_report(path: str | os.PathLike[str], report: dict[str, Any]) -> None:
    """The report as JSON."""
    write_whole(Path(path), (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode("utf-8"))


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield (clean_text(json.dumps(row, ensure_ascii=False)) + "\n").encode("utf-8")
