"""Pairs with a label, which sentence-transformers trains a `CrossEncoder` on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.lines import whole_lines
from limrank_synth.records import LabelledPassage


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """One pair for each row, label 1.0 or 0.0; the column `label` is where the losses look for it."""
    count = 0
    with whole_lines(folder / "train.jsonl") as line:
        for row in rows:
            pair = {"query": row.query, "passage": row.passage, "label": float(row.relevant)}
            line(json.dumps(pair, ensure_ascii=False) + "\n")
            count += 1
    return ExportCounts({"train.jsonl": count}, Counter())


LAYOUT = ExportLayout("pairs", "query, passage and label, for sentence-transformers", write, generates=False)
