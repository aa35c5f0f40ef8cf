"""The files of a run: rows, rejections and report as JSON, each written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows
from limrank_plugins.outputs import write_json_lines
from limrank_synth.filters import reasons
from limrank_synth.records import LabelledPassage, Rejection

ROWS, REJECTED, REPORT, LEDGER = "rows.jsonl", "rejected.jsonl", "report.json", "ledger.sqlite"
RUN_FILES = (ROWS, REJECTED, REPORT)


def write_rows(path: str | os.PathLike[str], rows: Iterable[LabelledPassage]) -> None:
    """Rows as JSON lines; `.gz` compresses."""
    write_json_lines(path, (row.as_json() for row in rows))


def read_rows(path: str | os.PathLike[str]) -> Iterator[LabelledPassage]:
    """The rows of a file that `write_rows` wrote.

    Raises:
        InputError: a line that is no row; it is named.
    """
    for where, values in json_rows(path):
        try:
            yield LabelledPassage.from_json(values)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


def write_rejections(path: str | os.PathLike[str], rejections: Sequence[Rejection]) -> None:
    """What was thrown away, with its reasons; long texts are shortened to 2,000 characters.

    What failed is not among it: it is asked again, and `rejection_report` says why.
    """
    kept = [rejection for rejection in rejections if not rejection.is_failure]
    write_json_lines(
        path,
        ({"stage": r.stage, "item": r.item, "reason": r.reason, "text": r.text[:2000]} for r in kept),
    )


def rejection_report(rejections: Sequence[Rejection]) -> dict[str, Any]:
    """For `report.json`: how many were rejected and for which reasons, and what failed, by item."""
    rejected = [rejection for rejection in rejections if not rejection.is_failure]
    failed = [rejection for rejection in rejections if rejection.is_failure]
    return {
        "rejected": len(rejected),
        "reasons": reasons(rejected),
        "failed": {rejection.item: f"{rejection.stage}: {rejection.reason}" for rejection in failed},
        "failures": reasons(failed),
    }
