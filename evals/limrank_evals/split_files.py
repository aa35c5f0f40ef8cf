"""Files that there is one of for each split: a folder of them, a path with `{split}` in it, or one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from limrank_plugins.errors import InputError
from limrank_plugins.pipes import is_pipe, regular_file

MARK = "{split}"

# What a run may be called in a folder of runs; BRIGHT's and mteb's own names, too.
_RUNS = (
    *(f"{{split}}{ending}" for ending in (".run", ".trec", ".json", ".jsonl", ".txt")),
    "run.{split}",
    "{split}/first-stage.run",
    "{split}/score.json",
    "{split}_bm25_long_False/score.json",
    "FollowIR_{split}_predictions.json",
)


class SplitFile(NamedTuple):
    """The file of a split, and what all splits' files are called together."""

    path: Path
    name: str


def split_file(place: str | os.PathLike[str], split: str, names: Sequence[str], what: str) -> SplitFile:
    """Find the file of a split.

    Args:
        place: a file for whatever split, a path that holds `{split}`, or a folder.
        split: which.
        names: what the file may be called in a folder, with `{split}`; the first one that is there, plain
            or with `.gz`, is it.
        what: the subject of the message where there is none.

    Raises:
        InputError: there is no such file.
    """
    path = Path(place)
    if MARK in os.fspath(place):
        file = Path(os.fspath(place).replace(MARK, split))
        if not file.is_file():
            raise InputError(f"{what}: there is no file {str(file)!r} ({MARK} stands for the split's name)")
        return SplitFile(file, path.name.replace(MARK, "*"))
    if not path.is_dir():
        if is_pipe(path):
            regular_file(path, f"run of {what}")
        if not path.is_file():
            raise InputError(f"{what}: there is no file or folder {str(path)!r}")
        return SplitFile(path, path.name)
    for name in names:
        for file in (path / name.replace(MARK, split), path / f"{name.replace(MARK, split)}.gz"):
            if file.is_file():
                return SplitFile(file, path.resolve().name)
    expected = ", ".join(name.replace(MARK, split) for name in names)
    raise InputError(f"{what}: {path} holds none of {expected} (or .gz); a path may hold {MARK}, too")


def run_file(place: str | os.PathLike[str], split: str) -> SplitFile:
    """The run of a split's first stage; arguments and errors as for `split_file`."""
    return split_file(place, split, _RUNS, "the first stage")
