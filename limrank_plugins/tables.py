"""Rows of files: JSON lines, a JSON array, CSV, TSV and Parquet, read one by one and never whole."""

from __future__ import annotations

import codecs
import gzip
import itertools
import json
import math
import os
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from limrank_plugins import files
from limrank_plugins.delimited import delimited_rows
from limrank_plugins.errors import InputError, LimRankWarning, require
from limrank_plugins.files import json_object, read_lines, why_no_json
from limrank_plugins.pipes import is_pipe, opened, regular_file
from limrank_plugins.rows import Row, Unusable, refused
from limrank_plugins.text_encoding import is_guess, text_encoding
from limrank_plugins.wording import shortened

KINDS = {
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".parquet": "Parquet",
}
"""Endings of files of rows and what they hold; all but Parquet may be gzipped (`.csv.gz`)."""

_BLOCK = 1 << 20  # characters of a JSON array that are read at once
_ROWS_AT_ONCE = 65_536


def table_kind(path: str | os.PathLike[str]) -> str:
    """What the name of a file says that it holds, as in `KINDS`; else "" ."""
    name = os.fspath(path).lower()
    kind = KINDS.get(Path(name.removesuffix(".gz")).suffix, "")
    return "" if kind == "Parquet" and name.endswith(".gz") else kind


def table_rows(
    path: str | os.PathLike[str], names: Collection[str], *, unusable: Unusable = refused
) -> Iterator[Row]:
    """The rows of a file; one whose name says nothing, and a pipe, is read as JSON lines.

    A CSV or TSV file begins with a line of column names, or has two columns: an id, and a text of some words.
    CSV's delimiter (comma, semicolon, tab, `|`) is the one that its first line holds most of.

    Args:
        path: the file.
        names: what the column of the texts may be called, in small letters: tells a line of names from a row.
        unusable: gets what is wrong with a row; default: it is raised.

    Raises:
        InputError: it cannot be read, or a row of it is wrong; the message names the line. Where `unusable`
            leaves out what is wrong with a row, the rest of the file cannot be read.
        MissingExtra: pyarrow is not installed, for Parquet.
    """
    kind = "" if is_pipe(path) else table_kind(path)
    if kind == "Parquet":
        yield from _numbered(path, parquet_rows(regular_file(path)))
        return
    encoding = text_encoding(path)
    if is_guess(encoding):
        warnings.warn(f"{path} is not UTF-8 and is read as {encoding}", LimRankWarning, stacklevel=2)
    broken: dict[int, InputError] | None = None if unusable is refused else {}
    if kind in ("CSV", "TSV"):
        lines = read_lines(path, encoding, exact=True, broken=broken)
        yield from delimited_rows(path, lines, kind, names, unusable=unusable, broken=broken)
    elif kind == "JSON" and _is_array(path, encoding):
        yield from _array_items(path, encoding, unusable)
    else:
        rows = _json_lines(path, encoding, broken, is_json=kind == "JSON", unusable=unusable)
        try:
            first = next(rows, None)
        except InputError as error:
            if kind or is_pipe(path):
                raise
            raise InputError(
                f"{error}; a file whose name does not end as {', '.join(KINDS)} is read as JSON lines"
            ) from error
        if first is not None:
            yield first
            yield from rows


def _numbered(path: str | os.PathLike[str], rows: Iterator[dict[str, Any]]) -> Iterator[Row]:
    for number, values in enumerate(rows, start=1):
        yield Row(f"{path}, row {number}", number, values)


# ---- JSON ---------------------------------------------------------------------------------------


def _json_lines(
    path: str | os.PathLike[str],
    encoding: str,
    broken: dict[int, InputError] | None,
    *,
    is_json: bool,
    unusable: Unusable,
) -> Iterator[Row]:
    """JSON lines; a `.json` file may also hold a single object, written over several lines."""
    lines = read_lines(path, encoding, broken=broken)
    if is_json:
        first = next(lines, None)
        if first is None:
            return
        try:
            json.loads(first[1])
        except (ValueError, RecursionError):
            second = next(lines, None)
            try:
                whole = files.read_json_object(path, fix="write a JSON array of objects, or an object a line")
            except InputError:
                if second is None or not _is_object(second[1]):
                    raise
                lines = itertools.chain([second], lines)
            else:
                yield Row(f"{path}, row 1", 1, whole)
                return
        lines = itertools.chain([first], lines)
    yield from json_line_rows(path, lines, unusable=unusable, broken=broken)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def json_line_rows(
    path: str | os.PathLike[str],
    lines: Iterable[tuple[int, str]],
    *,
    unusable: Unusable = refused,
    broken: dict[int, InputError] | None = None,
) -> Iterator[Row]:
    """The rows of numbered lines of JSON; raises as `files.json_rows` does.

    Args:
        path: the file, for messages.
        lines: its lines.
        unusable: gets what is wrong with a row; default: it is raised.
        broken: as `files.read_lines` fills it; what was said is taken out.
    """
    for number, line in lines:
        where = f"{path}, line {number}"
        try:
            if broken and number in broken:
                raise broken.pop(number)
            values = json_object(line, where)
        except InputError as error:
            unusable(error)
            continue
        yield Row(where, number, values)


def _is_array(path: str | os.PathLike[str], encoding: str) -> bool:
    """Whether the file begins so; its first line may be all of it, and is not read."""
    blocks = (block.lstrip(" \t\r\n\ufeff") for block in _text_blocks(path, encoding))
    return next(filter(None, blocks), "").startswith("[")


def _array_items(path: str | os.PathLike[str], encoding: str, unusable: Unusable) -> Iterator[Row]:
    """The objects of a JSON array, of which no more is in memory than one of them and a block."""
    decoder, buffer, place, number, is_end = json.JSONDecoder(), "", 0, 0, False
    blocks = _text_blocks(path, encoding)

    def more() -> bool:
        nonlocal buffer, place, is_end
        rest = buffer[place:]
        # Twice as much each time, as an object that is not whole is read again from its beginning.
        for block in blocks:
            rest += block
            if len(rest) >= 2 * (len(buffer) - place) + 1:
                break
        else:
            is_end = True
        if len(rest) > files.MAX_LINE_BYTES + _BLOCK:
            raise InputError(f"{path}, row {number + 1} is longer than {files.MAX_LINE_BYTES:,} characters")
        buffer, place = rest, 0
        return not is_end

    def skip(characters: str) -> str:
        """The next character behind these."""
        nonlocal place
        while True:
            while place < len(buffer) and buffer[place] in characters:
                place += 1
            if place < len(buffer):
                return buffer[place]
            if not more() and place >= len(buffer):
                return ""

    skip(" \t\r\n\ufeff")
    place += 1  # "["
    while (character := skip(" \t\r\n,")) != "]":
        where = f"{path}, row {number + 1}"
        if not character:
            raise InputError(f"{path} is not a whole JSON file (its array does not end): write it again")
        try:
            value, place = decoder.raw_decode(buffer, place)
        except json.JSONDecodeError as error:
            if not is_end and _may_be_cut(error, len(buffer)):
                more()
                continue
            raise InputError(f"{where}: not JSON ({why_no_json(error)})") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON ({why_no_json(error)})") from error
        number += 1
        if isinstance(value, dict):
            yield Row(where, number, value)
        else:
            unusable(InputError(f"{where}: expected a JSON object, but got {shortened(repr(value))}"))
    place += 1
    if skip(" \t\r\n"):
        raise InputError(f"{path}: there is more behind the end of its JSON array: write one array")


def _may_be_cut(error: json.JSONDecodeError, length: int) -> bool:
    """Whether what is wrong may be that the rest has not been read yet."""
    return error.msg.startswith("Unterminated string") or error.pos >= length - 10  # of `\\uXXXX`, `false`


def _text_blocks(path: str | os.PathLike[str], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with opened(Path(path), encoding) as stream:
            block = b"begin"
            while block:
                block = stream.read(_BLOCK)
                yield decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not {error.encoding.upper()} ({error.reason}); write it as UTF-8"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a whole gzip file: {error}") from error


# ---- Parquet ------------------------------------------------------------------------------------


def parquet_rows(
    file: Path, columns: Sequence[str] | None = None, *, at_once: int = _ROWS_AT_ONCE
) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file.

    Args:
        file: to be read.
        columns: those that are read; default: all. Those that it does not have are an `InputError`.
        at_once: rows in memory, fewer where they hold images.

    Raises:
        InputError: it is no whole Parquet file.
        MissingExtra: pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", "files", f"reading {file.name}")
    try:
        with parquet.ParquetFile(file) as opened_file:
            missing = sorted(set(columns or ()) - set(opened_file.schema_arrow.names))
            if missing:
                known = ", ".join(opened_file.schema_arrow.names)
                raise InputError(f"{file} has no column {missing[0]!r}; it has {known}")
            for batch in opened_file.iter_batches(at_once, columns=columns and list(columns)):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is no whole parquet file: {error}") from error


def as_json_value(value: Any) -> Any:
    """A value of a row as JSON can hold it: dates as text, bytes and numbers that are none as null."""
    if isinstance(value, dict):
        return {str(key): as_json_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_value(part) for part in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) or value is None else None
