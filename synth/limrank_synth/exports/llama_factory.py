r"""LLaMA-Factory's alpaca columns, and the entry of `dataset_info.json` that registers them.

LLaMA-Factory joins `instruction` and `input` with a line end; the template `empty` adds nothing. So the
line end before `<think>` belongs to the input, and the output begins with the tag: together they are
byte for byte prompt and completion. This is the shape of Rank1's and LimRank's own data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_plugins.files import json_line
from limrank_plugins.outputs import write_json, writing_whole
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
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
    with writing_whole(folder / FILE) as add:
        add(b"[")
        for count, row in enumerate(rows, start=1):
            line = json_line(record(row)).removesuffix("\n")
            add(f"{',' if count > 1 else ''}\n{line}".encode())
        add(b"\n]\n")
    write_json(folder / "dataset_info.json", INFO)
    return ExportCounts({FILE: count}, Counter())


LAYOUT = ExportLayout(
    "llama-factory",
    "alpaca columns for LLaMA-Factory, template empty",
    write,
    (FILE, "dataset_info.json"),
)
