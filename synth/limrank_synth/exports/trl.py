"""Prompt and completion as JSON lines, which TRL's `SFTTrainer` trains the completion of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_plugins.outputs import write_json_lines
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.pointwise_layout import completion, pointwise_prompt
from limrank_synth.records import LabelledPassage


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """One example for each row."""
    examples = (
        {
            "prompt": pointwise_prompt(row.query, row.passage),
            "completion": completion(row.trace, row.relevant),
        }
        for row in rows
    )
    return ExportCounts({"train.jsonl": write_json_lines(folder / "train.jsonl", examples)}, Counter())


LAYOUT = ExportLayout("trl", "prompt and completion, for TRL's SFTTrainer", write)
