"""Pairs with a label, which sentence-transformers trains a `CrossEncoder` on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_plugins.outputs import write_json_lines
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.records import LabelledPassage


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """One pair for each row, label 1.0 or 0.0; the column `label` is where the losses look for it."""
    pairs = ({"query": row.query, "passage": row.passage, "label": float(row.relevant)} for row in rows)
    return ExportCounts({"train.jsonl": write_json_lines(folder / "train.jsonl", pairs)}, Counter())


LAYOUT = ExportLayout("pairs", "query, passage and label, for sentence-transformers", write, generates=False)
