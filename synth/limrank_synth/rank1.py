"""Rank1-style rows: `jhu-clsp/rank1-training-data` (arXiv 2502.18418) or files of its shape.

Its columns are LLaMA-Factory's: `instruction` and `input`, which joined by a line end are the prompt,
and `output`, which is `<think>…</think> true|false`. What cannot be read comes out as a `Rejection`
that names its line; nothing is dropped in silence.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from limrank_plugins.errors import InputError, require
from limrank_plugins.files import read_lines
from limrank_plugins.pipes import is_pipe, regular_file
from limrank_plugins.readouts.usable import can_be_seen
from limrank_synth.pointwise_layout import OPENING, read_completion, template
from limrank_synth.records import LabelledPassage, Rejection, Source
from limrank_synth.stages.seeds import MS_MARCO

RANK1 = Source("jhu-clsp/rank1-training-data", "unknown")
"""No licence could be found; its queries and passages are MS MARCO's, its traces DeepSeek-R1's."""

COLUMNS = ("instruction", "input", "output")
_BLOCK = 1 << 16


def read_rank1(path: str) -> Iterator[LabelledPassage | Rejection]:
    """The rows of a dataset or file, each as a row or as the reason why it is none.

    Their ids come from their texts, so that they are the same wherever a row stands.

    Args:
        path: `hub:name[:split]`, or a `.jsonl`, `.json` (an array, or one object a line) or `.parquet`
            file; `.gz` for the first two.

    Raises:
        InputError: there is no such file or dataset, it is no JSON or parquet, or a column is missing.
    """
    name = path.removeprefix("hub:") if path.startswith("hub:") else Path(path).name
    for where, data in _records(path):
        row = _row(data, f"{name}, {where}")
        yield (
            row
            if isinstance(row, LabelledPassage)
            else Rejection("rank1", f"{name}, {where}", row, _shown(data))
        )


def _row(data: Any, origin: str) -> LabelledPassage | str:
    if not isinstance(data, dict):
        return f"it is no object but {type(data).__name__}"
    for column in COLUMNS:
        if not isinstance(data.get(column), str):
            return f"its column {column!r} is not a text"
    joined = data["instruction"] + (f"\n{data['input']}" if data["input"] else "")
    parts = _parts(joined)
    if isinstance(parts, str):
        return parts
    read = read_completion(data["output"])
    if isinstance(read, str):
        return read
    query, passage = parts
    return LabelledPassage(
        id=f"rank1/{_digest(query, passage)}",
        query_id=f"rank1/q-{_digest(query)}",
        query=query,
        passage=passage,
        trace=read.trace,
        relevant=read.relevant,
        intent="",
        false_claim=False,
        kind="",
        domain="",
        difficulty="",
        votes=(read.relevant,),
        sources=(MS_MARCO, RANK1),
        meta={"origin": origin},
    )


def _parts(prompt: str) -> tuple[str, str] | str:
    """Query and passage of a prompt in the template's wording; or why they cannot be told apart."""
    head, _, rest = template().prompt.partition("{{ query }}")
    between, _, _ = rest.partition("{{ document }}")
    text = prompt.removesuffix(OPENING).removesuffix("\n")
    if not text.startswith(head):
        return "its prompt is not in Rank1's wording"
    body = text[len(head) :]
    if body.count(between) != 1:
        return f"its prompt holds {between.strip()!r} {body.count(between)} times"
    query, _, passage = body.partition(between)
    if not can_be_seen(query) or not can_be_seen(passage):
        return "its query or passage is empty"
    return query, passage


def _records(path: str) -> Iterator[tuple[str, Any]]:
    if path.startswith("hub:"):
        return _from_hub(path.removeprefix("hub:"))
    file = Path(path)
    bare = file.name.removesuffix(".gz")
    if is_pipe(file):
        regular_file(file)
    if not file.is_file():
        raise InputError(f"there is no file {path!r}; a dataset of the hub is hub:name[:split]")
    if bare.endswith(".parquet"):
        return _from_parquet(file)
    if bare.endswith(".json") and _begins_array(file):
        return _from_array(file)
    if bare.endswith((".json", ".jsonl")):
        return _from_lines(file)
    raise InputError(f"{path}: Rank1-style rows are read from .jsonl, .json, .parquet or hub:name[:split]")


def _from_lines(file: Path) -> Iterator[tuple[str, Any]]:
    for number, line in read_lines(file):
        try:
            yield f"line {number}", json.loads(line)
        except (ValueError, RecursionError):
            yield f"line {number}", line  # no object: it is reported with the others


def _from_array(file: Path) -> Iterator[tuple[str, Any]]:
    """The items of a JSON array, one at a time: LLaMA-Factory's files are one array of any size."""
    decoder, number, text = json.JSONDecoder(), 0, ""
    with _opened(file) as stream:
        try:
            text = stream.read(_BLOCK).lstrip("\ufeff \t\r\n").removeprefix("[")
            while True:
                text = text.lstrip(" \t\r\n")
                if text.startswith(",") and number:
                    text = text[1:].lstrip(" \t\r\n")
                if text.startswith("]"):
                    return
                try:
                    item, end = decoder.raw_decode(text)
                    complete = end < len(text)  # a number at a block's end may go on
                except ValueError:
                    complete = False
                if complete:
                    number += 1
                    yield f"item {number}", item
                    text = text[end:]
                    continue
                more = stream.read(_BLOCK)
                if not more:
                    raise InputError(f"{file}: the array is broken after item {number}")
                text += more
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{file}: cannot be read after item {number}: {error}") from error


def _from_parquet(file: Path) -> Iterator[tuple[str, Any]]:
    parquet = require("pyarrow.parquet", "synth", "Rank1-style rows from parquet")
    try:
        table = parquet.ParquetFile(file)
        names = table.schema_arrow.names
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{file}: no parquet file: {error}") from error
    _check_columns(names, str(file))
    number = 0
    for batch in table.iter_batches(batch_size=1024, columns=list(COLUMNS)):
        for data in batch.to_pylist():
            number += 1
            yield f"row {number}", data


def _from_hub(name: str) -> Iterator[tuple[str, Any]]:
    datasets = require("datasets", "synth", "Rank1-style rows from the hub")
    dataset, _, split = name.partition(":")
    try:
        rows = datasets.load_dataset(dataset, split=split or "train")
    except (OSError, ValueError) as error:
        raise InputError(f"dataset {dataset!r} cannot be had: {error}") from error
    _check_columns(rows.column_names, f"dataset {dataset!r}")
    for number, data in enumerate(rows, start=1):
        yield f"row {number}", data


def _check_columns(names: Iterable[str], what: str) -> None:
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise InputError(f"{what} has no column {missing[0]!r}; there are: {', '.join(names)}")


def _begins_array(file: Path) -> bool:
    with _opened(file) as stream:
        try:
            return stream.read(4096).lstrip("\ufeff \t\r\n").startswith("[")
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{file}: cannot be read: {error}") from error


def _opened(file: Path) -> IO[str]:
    if file.name.endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8")
    return file.open(encoding="utf-8")


def _digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode("ascii")).hexdigest()[:16]


def _shown(data: Any) -> str:
    try:
        return json.dumps(data, ensure_ascii=True)[:2000]
    except (TypeError, ValueError):
        return repr(data)[:2000]
