"""Layouts that trainers and evaluations read, one file each; `exporting.export` writes one with its card.

A layout's file has a `LAYOUT`. They are named here and imported when they are asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from limrank_plugins.errors import InputError
from limrank_synth.gold_lists import OrderedList
from limrank_synth.records import LabelledPassage

_LAYOUTS = {
    "rows": "limrank_synth.exports.training_rows",
    "trl": "limrank_synth.exports.trl",
    "llama-factory": "limrank_synth.exports.llama_factory",
    "listwise": "limrank_synth.exports.listwise",
    "setwise": "limrank_synth.exports.setwise",
    "pairs": "limrank_synth.exports.labelled_pairs",
    "triples": "limrank_synth.exports.triples",
    "trec": "limrank_synth.exports.trec",
}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What an export can be told.

    Attributes:
        seed: of the order in which a group's passages are shown.
        size: most passages in a group; 20, as ReasonRank and Rank-R1 are trained and asked.
        reason_words: most words that a listwise reason keeps of a trace, from its end.
        consistency: least nDCG@10 of a gold order against the pointwise labels (ReasonRank: 0.4).
        lists: orders a model gave, by query id; the others follow from what the passages were written to be.
        split: for a test collection: what `qrels/` names its judgements after.
        corpus: for a test collection: further rows of which the passages alone are used: in its corpus.
    """

    seed: int = 0
    size: int = 20
    reason_words: int = 60
    consistency: float = 0.4
    lists: Mapping[str, OrderedList] = field(default_factory=dict, hash=False)
    split: str = "train"
    corpus: Sequence[LabelledPassage] = field(default=(), hash=False, repr=False)

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 100:
            raise InputError(f"a group has from 2 to 100 passages, but size is {self.size!r}")
        if self.reason_words < 1:
            raise InputError(f"reason_words must be > 0, but is {self.reason_words!r}")
        if not 0 <= self.consistency <= 1:
            raise InputError(f"consistency is an nDCG, in [0, 1], but is {self.consistency!r}")
        if re.fullmatch(r"[\w-]+", self.split) is None:
            raise InputError(f"split names a file: letters, digits, _ and -, but not {self.split!r}")


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """What an export came to.

    Attributes:
        records: by file, how many examples are in it.
        left_out: by reason, how many rows or queries are in none.
    """

    records: dict[str, int]
    left_out: Counter[str]


@dataclass(frozen=True, slots=True)
class ExportLayout:
    """One way to write rows down.

    Attributes:
        name: what `--format` calls it.
        summary: one line for the card.
        write: writes rows into a folder that exists.
        files: every name it may put there.
        generates: a model is trained to write the trace; rows with markers in their texts are left out.
    """

    name: str
    summary: str
    write: Callable[[Iterable[LabelledPassage], Path, ExportOptions], ExportCounts]
    files: tuple[str, ...] = ("train.jsonl",)
    generates: bool = True


def layout_names() -> list[str]:
    """The layouts there are."""
    return list(_LAYOUTS)


def load_layout(name: str) -> ExportLayout:
    """The layout of this name.

    Raises:
        InputError: there is none.
    """
    if name not in _LAYOUTS:
        raise InputError(f"there is no format {name!r}; there are: {', '.join(_LAYOUTS)}")
    layout = import_module(_LAYOUTS[name]).LAYOUT
    assert isinstance(layout, ExportLayout)
    return layout
