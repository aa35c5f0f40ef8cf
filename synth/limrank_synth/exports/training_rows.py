"""Rows as the synthesizer writes them, with everything known about each: what `limrank train` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_plugins.outputs import write_json_lines
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.records import LabelledPassage


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """Every row, unchanged."""
    count = write_json_lines(folder / "rows.jsonl", (row.as_json() for row in rows))
    return ExportCounts({"rows.jsonl": count}, Counter())


LAYOUT = ExportLayout(
    "rows", "the synthesizer's own rows, for `limrank train --rows`", write, ("rows.jsonl",)
)
