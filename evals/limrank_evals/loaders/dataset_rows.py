"""Rows of a dataset: from the hub by `datasets`, or from a local folder that has the hub's layout.

A local folder holds `<config>/<split>*.parquet`, `.jsonl` or `.jsonl.gz` (or `<config>/<split>/…`), which is
what a hub repository downloads to. Nothing is downloaded for a source that is a folder here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from limrank_evals.judgements import Qrels
from limrank_evals.loaders.repository import unreadable
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError, require
from limrank_plugins.files import json_rows
from limrank_plugins.qrels import add_judgement
from limrank_plugins.tables import parquet_rows

_KINDS = (".parquet", ".jsonl", ".jsonl.gz")


def dataset_rows(source: str | os.PathLike[str], config: str, split: str) -> Iterator[dict[str, Any]]:
    """Rows of one configuration and split.

    Args:
        source: a folder here, or a repository's name on the hub.
        config: the configuration, a folder in `source`.
        split: the split, what its files' names begin with.

    Raises:
        InputError: a folder without such files, or a line that is no JSON object.
        BackendError: the hub cannot be reached or refuses; the message says what to do.
        MissingExtra: `datasets` (or pyarrow) is not installed.
    """
    if Path(source).is_dir():
        for file in dataset_files(Path(source), config, split):
            yield from file_rows(file)
        return
    datasets = require("datasets", "evals", f"reading {source} from the hub")
    try:
        table = datasets.load_dataset(str(source), config, split=split)
    except Exception as error:
        raise unreadable(f"{source} ({config}, {split})", source, error) from error
    yield from table


def dataset_files(folder: Path, config: str, split: str) -> list[Path]:
    """The files of one configuration and split in a folder.

    Raises:
        InputError: there are none.
    """
    place = folder / config
    paths = [*place.glob(f"{split}*"), *(place / split).glob("*")]
    files = sorted(file for file in paths if file.is_file() and file.name.endswith(_KINDS))
    # `test` must not find `testing.jsonl`: what follows a split's name is a mark.
    files = [f for f in files if f.parent.name == split or not f.name[len(split)].isalnum()]
    if not files:
        raise InputError(
            f"{folder} has no split {split!r} of {config!r}: expected {config}/{split}.jsonl or .parquet"
        )
    return files


def field(row: dict[str, Any], name: str, where: str, kind: type | tuple[type, ...] = str) -> Any:
    """One field of a row; raises an `InputError` where it is missing or of another type."""
    value = row.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{where}: {name!r} cannot be {value!r}; the fields are {sorted(row)}")
    return value


def identifier(row: dict[str, Any], where: str, *names: str) -> str:
    """The id of a row, text or a number: the first of these fields that it has, or else the last."""
    name = next((name for name in names if name in row), names[-1])
    return str(field(row, name, where, (str, int)))


def mteb_queries(source: str | os.PathLike[str], split: str, where: str) -> dict[str, str]:
    """The texts of the queries in a repository of mteb's layout, by id."""
    rows = dataset_rows(source, "queries", split)
    return {identifier(row, where, "_id", "id"): field(row, "text", where) for row in rows}


def mteb_documents(source: str | os.PathLike[str], split: str, where: str) -> tuple[Document, ...]:
    """The documents in a repository of mteb's layout."""
    return tuple(
        Document(field(row, "text", where), identifier(row, where, "_id", "id"), row.get("title") or "")
        for row in dataset_rows(source, "corpus", split)
    )


def judged(
    rows: Iterable[tuple[str, dict[str, Any]]], query: str = "query-id", document: str = "corpus-id"
) -> Qrels:
    """Judgements from rows and their places; the grade is their `score`, the ids are in these fields."""
    qrels: Qrels = {}
    for where, row in rows:
        grade = field(row, "score", where, (int, float, str))
        add_judgement(qrels, identifier(row, where, query), identifier(row, where, document), grade, where)
    return qrels


def file_rows(
    file: Path, columns: Sequence[str] | None = None, *, at_once: int = 65_536
) -> Iterator[dict[str, Any]]:
    """Rows of one parquet or JSONL file; errors as for `dataset_rows`.

    Args:
        file: to be read.
        columns: of a parquet file; default: all. Those that it does not have are an `InputError`.
        at_once: rows of a parquet file in memory, fewer where they hold images.
    """
    if file.suffix == ".parquet":
        yield from parquet_rows(file, columns, at_once=at_once)
        return
    yield from (row for _, row in json_rows(file))
