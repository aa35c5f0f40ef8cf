"""LimRank-Open: 300 queries with passages, verdicts and the reasoning for each, written here, CC0.

README.md beside this file is its card. Wherever rows are named, on the command line and in `mix`,
`limrank-open:train`, `:dev` and `:test` stand for its splits, `limrank-open` for all three.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from limrank_plugins.errors import InputError
from limrank_synth.records import LabelledPassage
from limrank_synth.run_files import ROWS, read_rows

NAME = "limrank-open"
SPLITS = ("train", "dev", "test")
_FOLDER = Path(__file__).parent


def load_open(split: str = "train") -> list[LabelledPassage]:
    """The rows of a split: one for every query and passage, those of a query one after the other.

    Args:
        split: `"train"`, `"dev"`, `"test"`, or `"all"` for the three, in this order.

    Raises:
        InputError: there is no such split.

    Example:
        >>> from limrank_synth import load_open
        >>> rows = load_open("test")
        >>> len({row.query_id for row in rows}) >= 50, {row.relevant for row in rows} == {True, False}
        (True, True)
    """
    return [row for path in open_files(split) for row in read_rows(path)]


def open_files(split: str = "all") -> list[Path]:
    """The files of a split, as `synth export` and every other reader of rows take them.

    Raises:
        InputError: there is no such split.
    """
    names = SPLITS if split == "all" else (split,)
    if not set(names) <= set(SPLITS):
        raise InputError(f"{NAME} has no split {split!r}; there are: {', '.join(SPLITS)}, all")
    return [_FOLDER / f"{name}.jsonl" for name in names]


def row_files(source: str | os.PathLike[str]) -> list[Path]:
    """The files that are meant where rows are named: a run's or a mix's folder, a file, or LimRank-Open.

    Raises:
        InputError: LimRank-Open has no such split.
    """
    name, _, split = os.fspath(source).partition(":")
    if name == NAME and not Path(source).exists():
        return open_files(split or "all")
    path = Path(source)
    return [path / ROWS if path.is_dir() else path]


def read_sources(*sources: str | os.PathLike[str]) -> Iterator[LabelledPassage]:
    """The rows of everything that is named.

    Raises:
        InputError: no such split, or a line that is no row.
    """
    for source in sources:
        for path in row_files(source):
            yield from read_rows(path)
