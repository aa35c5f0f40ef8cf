"""Prompt and completion as JSON lines, which TRL's `SFTTrainer` trains the completion of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_synth.exports import Layout, Options, Written
from limrank_synth.layout import completion, pointwise_prompt
from limrank_synth.lines import whole_lines
from limrank_synth.records import Row


def write(rows: Iterable[Row], folder: Path, options: Options) -> Written:
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
    return Written({"train.jsonl": count}, Counter())


LAYOUT = Layout("trl", "prompt and completion, for TRL's SFTTrainer", write)
