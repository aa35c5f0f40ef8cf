"""Prompt and completion as JSON lines, which TRL's `SFTTrainer` trains the completion of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.lines import whole_lines
from limrank_synth.pointwise_layout import completion, pointwise_prompt
from limrank_synth.records import LabelledPassage


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """One example for each row."""
    count = 0
    with whole_lines(folder / "train.jsonl") as line:
        for row in rows:
            example = {
                "prompt": pointwise_prompt(row.query, row.passage),
                "completion": completion(row.trace, row.relevant),
            }
            line(json.dumps(example, ensure_ascii=False) + "\n")
            count += 1
    return ExportCounts({"train.jsonl": count}, Counter())


LAYOUT = ExportLayout("trl", "prompt and completion, for TRL's SFTTrainer", write)
