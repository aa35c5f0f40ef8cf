r"""Files as lines and as wholes, read with errors that name the line, and JSON of both.

Lines end at "\n" alone (MS MARCO's texts hold U+0085). A name that ends in `.gz` means gzip.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from limrank_plugins.errors import InputError
from limrank_plugins.pipes import is_pipe, opened, regular_file
from limrank_plugins.segments import CONTROLS, clean_text

MAX_LINE_BYTES = 256 << 20
MAX_JSON_BYTES = 1 << 30
"""The longest line and the largest JSON file that is read. A .gz of a few megabytes can hold gigabytes."""

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What is raised where a file does not hold what was written into it."""
_FIX = "write it again, or put back a copy of it"


# ---- reading ------------------------------------------------------------------------------------


def read_lines(
    path: str | os.PathLike[str],
    encoding: str = "utf-8",
    *,
    exact: bool = False,
    broken: dict[int, InputError] | None = None,
) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) of a text file or pipe, no blank ones; see `pipes.opened`.

    Args:
        path: the file.
        encoding: of the file.
        exact: with blank lines and with line ends, as some formats need them.
        broken: gets, by number, what is wrong with lines that are not UTF-8, which come with U+FFFD for the
            bytes that are not; who reads them takes it out. None: they are an error.

    Raises:
        InputError: no such file, a folder, not in this encoding, a line longer than `MAX_LINE_BYTES`, or a
            .gz that is cut short or is none.
    """
    path, number = Path(path), 0
    try:
        with opened(path, encoding) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    raise InputError(
                        f"{path}, line {number} is longer than {MAX_LINE_BYTES:,} bytes: a document, a query "
                        f"or a row stands on a line of its own; split it"
                    )
                try:
                    line = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    if broken is None:
                        raise
                    broken[number] = _wrong_encoding(f"{path}, line {number}", error)
                    line = raw.decode("utf-8", "replace")
                if number == 1:
                    line = line.removeprefix("\ufeff")
                if exact:
                    yield number, line
                elif line.strip():
                    yield number, line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise _wrong_encoding(f"{path}, line {number}", error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a whole gzip file (broken after line {number}): {error}") from error


def lines_and_kind(path: str | os.PathLike[str], is_json: bool) -> tuple[Iterator[tuple[int, str]], bool]:
    """A file's lines, and whether they are JSON; of a pipe, which has no name, the first line tells.

    Args:
        path: the file.
        is_json: what the name of a file says.

    Raises:
        InputError: as for `read_lines`.
    """
    lines = read_lines(path)
    if not is_pipe(path):
        return lines, is_json
    first = list(itertools.islice(lines, 1))
    return itertools.chain(first, lines), bool(first) and first[0][1].lstrip().startswith("{")


def json_rows(
    path: str | os.PathLike[str], lines: Iterable[tuple[int, str]] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON-lines file, each with its place (`file, line 3`) for error messages.

    Args:
        path: the file.
        lines: its lines, where they are being read already.

    Raises:
        InputError: as for `read_lines`, or a line that is not a JSON object.
    """
    for number, line in read_lines(path) if lines is None else lines:
        where = f"{path}, line {number}"
        yield where, json_object(line, where)


def json_object(line: str, where: str) -> dict[str, Any]:
    """The object in a line of JSON.

    Args:
        line: the text.
        where: file and line, for messages.

    Raises:
        InputError: as for `parse_json`, or it is something else.
    """
    row = parse_json(line, where)
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, but got {line[:80]!r}")
    return row


def read_json(
    path: str | os.PathLike[str],
    *,
    fix: str = _FIX,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """What a JSON file holds; all of it is in memory at once.

    Args:
        path: the file.
        fix: what to do about one that cannot be read, for the message.
        pairs: makes a value of each object's names and values; default: a dict.

    Raises:
        InputError: as for `read_lines`, it is a pipe or not JSON, or it is larger than `MAX_JSON_BYTES`.
    """
    lines, size = [], 0
    try:
        for _, line in read_lines(regular_file(path)):
            lines.append(line)
            size += len(line)
            if size > MAX_JSON_BYTES:
                raise InputError(f"{path} holds more than {MAX_JSON_BYTES:,} characters")
    except InputError as error:
        raise InputError(f"{error}; {fix}") from error
    try:
        return json.loads("\n".join(lines), object_pairs_hook=pairs)
    except InputError:  # of `pairs`
        raise
    except _NO_JSON as error:
        raise InputError(f"{path} is not a whole JSON file ({why_no_json(error)}): {fix}") from error


def read_json_object(path: str | os.PathLike[str], *, fix: str = _FIX) -> dict[str, Any]:
    """`read_json` for a file that must hold an object.

    Raises:
        InputError: as for `read_json`, or it holds something else.
    """
    value = read_json(path, fix=fix)
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object, but holds {str(value)[:80]!r}: {fix}")
    return value


def _wrong_encoding(where: str, error: UnicodeDecodeError) -> InputError:
    name = error.encoding.upper()
    return InputError(f"{where}: not {name} ({error.reason} at byte {error.start})")


def parse_json(line: str | bytes, where: str) -> Any:
    """The value of a JSON text that a stranger wrote.

    Args:
        line: the text, which as bytes must be UTF-8.
        where: file and line, for messages.

    Raises:
        InputError: it is not JSON, is nested too deeply, or holds a number of thousands of digits.
    """
    try:
        line = line if isinstance(line, str) else line.decode("utf-8-sig")
        return json.loads(line)
    except UnicodeDecodeError as error:
        raise _wrong_encoding(where, error) from error
    except _NO_JSON as error:
        raise InputError(f"{where}: not JSON ({why_no_json(error)}): {line[:80]!r}") from error


_NO_JSON = (ValueError, RecursionError)


def why_no_json(error: ValueError | RecursionError) -> str:
    """Why `json.loads`, or the decoding before it, could not read a text, in words for messages."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return str(error)
    return "it holds a number of thousands of digits"


def json_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON, its end included.

    Raises:
        InputError: it is nested too deeply.
    """
    try:
        line = clean_text(json.dumps(record, ensure_ascii=False))
    except RecursionError as error:
        raise InputError("a record is nested too deeply for JSON: make it flatter") from error
    # JSON lets those above U+007E stand, on which a terminal acts all the same.
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", line) + "\n"
