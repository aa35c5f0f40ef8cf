r"""LLaMA-Factory's alpaca columns, and the entry of `dataset_info.json` that registers them.

LLaMA-Factory joins `instruction` and `input` with a line end; the template `empty` adds nothing. So the
line end before `<think>` belongs to the input, and the output begins with the tag: together they are
byte for byte prompt and completion. This is the shape of Rank1's and LimRank's own data.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_plugins.files import write_whole
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.lines import whole_lines
from limrank_synth.pointwise_layout import OPENING, completion, pointwise_prompt
from limrank_synth.records import LabelledPassage

NAME, FILE = "limrank", "train_limrank.json"
INFO = {
    NAME: {"file_name": FILE, "columns": {"prompt": "instruction", "query": "input", "response": "output"}}
}


def record(row: LabelledPassage) -> dict[str, str]:
    """A row in the three columns."""
    instruction, _, rest = pointwise_prompt(row.query, row.passage).removesuffix(OPENING).partition("\n")
    return {
        "instruction": instruction,
        "input": rest,
        "output": OPENING + completion(row.trace, row.relevant),
    }


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """One array, an object on each line."""
    count = 0
    with whole_lines(folder / FILE) as text:
        text("[")
        for row in rows:
            text(("," if count else "") + "\n" + json.dumps(record(row), ensure_ascii=False))
            count += 1
        text("\n]\n")
    write_whole(folder / "dataset_info.json", (json.dumps(INFO, indent=2) + "\n").encode("ascii"))
    return ExportCounts({FILE: count}, Counter())


LAYOUT = ExportLayout(
    "llama-factory", "alpaca columns for LLaMA-Factory, template empty", write, (FILE, "dataset_info.json")
)
