r"""Files as lines and as wholes: read with errors that name the line, written all or nothing.

Lines end at "\n" alone (MS MARCO's texts hold U+0085). A name that ends in `.gz` means gzip, both ways.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.segments import clean_text

LOCK = "lock.sqlite"


# ---- reading ------------------------------------------------------------------------------------


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) of a UTF-8 text file, gzipped if its name ends in `.gz`; no blank ones.

    Raises:
        InputError: no such file, not UTF-8, or a .gz that is cut short or is none.
    """
    if not (path := Path(path)).is_file():
        raise InputError(f"there is no file {str(path)!r}")
    number = 0
    try:
        with _opened(path) as stream:
            for raw in stream:
                number += 1
                line = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
                if line.strip():
                    yield number, line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a whole gzip file (broken after line {number}): {error}") from error


def json_rows(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON-lines file, each with its place (`file, line 3`) for error messages.

    Raises:
        InputError: as for `read_lines`, or a line that is not a JSON object.
    """
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON ({error}): {line[:80]!r}") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected a JSON object, but got {line[:80]!r}")
        yield where, row


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds; all of it is in memory at once.

    Raises:
        InputError: as for `read_lines`, or it is not JSON.
    """
    text = "\n".join(line for _, line in read_lines(path))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a whole JSON file: {error}") from error


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


# ---- writing ------------------------------------------------------------------------------------


def json_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON, its end included."""
    return clean_text(json.dumps(record, ensure_ascii=False)) + "\n"


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """A value as an indented JSON file, all or nothing; NaN and infinities are a ValueError."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    write_whole(Path(path), text.encode("utf-8", "backslashreplace"))


def write_json_lines(path: str | os.PathLike[str], records: Iterable[Mapping[str, Any]]) -> int:
    """Records as JSON lines, written as they come, all or nothing; how many they were."""
    count = 0
    with writing_whole(Path(path)) as write:
        for record in records:
            write(json_line(record).encode("utf-8"))
            count += 1
    return count


def write_whole(path: Path, content: bytes) -> None:
    """Write bytes beside the file, then put them in its place in one step; `.gz` compresses them."""
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """`write_whole` for what does not fit into memory: the parts are written as they come."""
    with writing_whole(path) as write:
        for part in parts:
            write(part)


@contextmanager
def writing_whole(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Yields a function that writes bytes; the file gets its name when the block ends without error.

    A `.gz` has no name and no time in its header: equal content is an equal file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as stream:
            if path.name.endswith(".gz"):
                with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
                    yield packed.write
            else:
                yield stream.write
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder, which must be there. The operating system lets go of it when the process dies.

    SQLite's own lock, because it works on every platform.

    Raises:
        InputError: another process holds it, or it cannot be written to.
    """
    with closing(sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)) as guard:
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise InputError(
                    f"another process is working in {folder}: wait until it is done, or choose another folder"
                ) from error
            raise InputError(f"{folder} cannot be written to: {error}") from error
        yield
