r"""Files as lines and as wholes: read with errors that name the line, written all or nothing.

Lines end at "\n" alone (MS MARCO's texts hold U+0085). A name that ends in `.gz` means gzip, both ways.
What is written stands beside its place until it is whole, as `.NAME.PID.HEX`; what a killed process left
there is removed by the next that writes the same name.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import secrets
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from limrank_plugins.errors import InputError
from limrank_plugins.segments import clean_text

LOCK = "lock.sqlite"
MAX_LINE_BYTES = 256 << 20
MAX_JSON_BYTES = 1 << 30
"""The longest line and the largest JSON file that is read. A .gz of a few megabytes can hold gigabytes."""

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What is raised where a file does not hold what was written into it."""
_FIX = "write it again, or put back a copy of it"
_IN_WORK: set[str] = set()


# ---- reading ------------------------------------------------------------------------------------


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) of a UTF-8 text file, gzipped if its name ends in `.gz`; no blank ones.

    Raises:
        InputError: no such file, not UTF-8, a line longer than `MAX_LINE_BYTES`, or a .gz that is cut short
            or is none.
    """
    if not (path := Path(path)).is_file():
        raise InputError(f"there is no file {str(path)!r}")
    number = 0
    try:
        with _opened(path) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    raise InputError(
                        f"{path}, line {number} is longer than {MAX_LINE_BYTES:,} bytes: a document, a query "
                        f"or a row stands on a line of its own; split it"
                    )
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
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected a JSON object, but got {line[:80]!r}")
        yield where, row


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
        InputError: as for `read_lines`, it is not JSON, or it is larger than `MAX_JSON_BYTES`.
    """
    lines, size = [], 0
    try:
        for _, line in read_lines(path):
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
        raise InputError(f"{path} is not a whole JSON file ({_reason(error)}): {fix}") from error


def read_json_object(path: str | os.PathLike[str], *, fix: str = _FIX) -> dict[str, Any]:
    """`read_json` for a file that must hold an object.

    Raises:
        InputError: as for `read_json`, or it holds something else.
    """
    value = read_json(path, fix=fix)
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object, but holds {str(value)[:80]!r}: {fix}")
    return value


def parse_json(line: str | bytes, where: str) -> Any:
    """The value of a JSON text that a stranger wrote.

    Args:
        line: the text.
        where: file and line, for messages.

    Raises:
        InputError: it is not JSON, is nested too deeply, or holds a number of thousands of digits.
    """
    try:
        return json.loads(line)
    except _NO_JSON as error:
        raise InputError(f"{where}: not JSON ({_reason(error)}): {line[:80]!r}") from error


_NO_JSON = (ValueError, RecursionError)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return str(error)
    return "it holds a number of thousands of digits"


def _opened(path: Path) -> Any:
    # Buffered, because GzipFile's own lines are read in Python.
    return io.BufferedReader(gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


# ---- writing ------------------------------------------------------------------------------------


def json_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON, its end included.

    Raises:
        InputError: it is nested too deeply.
    """
    try:
        return clean_text(json.dumps(record, ensure_ascii=False)) + "\n"
    except RecursionError as error:
        raise InputError("a record is nested too deeply for JSON: make it flatter") from error


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
    with unfinished(path) as part:
        with part.open("xb") as stream, held(part):
            if path.name.endswith(".gz"):
                with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
                    yield packed.write
            else:
                yield stream.write
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Yields the place beside a file or folder where it is written; what is left there is removed.

    What killed processes left of the same name is removed first.
    """
    remove_leftovers(target)
    part = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    _IN_WORK.add(part.name)
    try:
        yield part
    finally:
        _remove(part)
        _IN_WORK.discard(part.name)


@contextmanager
def held(part: Path) -> Iterator[None]:
    """Marks what stands there as in work, for containers and machines that do not know our process."""
    if fcntl is None:
        yield
        return
    place = os.open(part, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(place)


def _is_held(part: Path) -> bool:
    if fcntl is None or part.is_symlink():
        return False
    try:
        place = os.open(part, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(place)
    return False


def remove_leftovers(target: Path) -> None:
    """Remove the files and folders `.NAME.PID.HEX` beside a file or folder whose process is gone."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.([0-9]+)\.[0-9a-f]+")
    try:
        names = os.listdir(target.parent)
    except OSError:  # writing will tell
        return
    for name in names:
        found = pattern.fullmatch(name)
        part = target.with_name(name)
        if found and name not in _IN_WORK and not _is_alive(int(found[1][:20])) and not _is_held(part):
            _remove(part)


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False  # in a container every job has the same number; this one's own are known
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove(part: Path) -> None:
    with suppress(OSError):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def check_output(
    output: Path, *inputs: str | os.PathLike[str] | None, store: str | os.PathLike[str] | None = None
) -> None:
    """Raise an `InputError` where a file to be written is one that is read, the store, or no file to replace.

    Args:
        output: what will be written; it need not be there.
        inputs: what is read; None and what is not there count for nothing.
        store: a reply store, which keeps files with further endings beside it.
    """
    stored = [Path(f"{store}{end}").resolve() for end in ("", "-wal", "-shm")] if store is not None else []
    if output.resolve() in stored:
        raise InputError(f"the output {output} is where the store {store} keeps replies: choose another file")
    if not output.exists():
        return
    if not (output.is_file() or output.is_dir()):
        raise InputError(f"the output {output} is a pipe or a device, which would be replaced: name a file")
    for given in inputs:
        if given is None or not (source := Path(given)).exists():
            continue
        if output.samefile(source):
            raise InputError(f"the output {output} is read as an input ({source}): choose another file")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder, which must be there. The operating system lets go of it when the process dies.

    The folder itself is locked, and nothing is written into it. Where that cannot be done (Windows, some
    network drives), SQLite's lock of a file in it is taken, which stays there.

    Raises:
        InputError: another process holds it, or it cannot be opened.
    """
    with _locked(folder) or _locked_file(folder):
        yield


def _busy(folder: Path) -> InputError:
    return InputError(
        f"another process is working in {folder}: wait until it is done, or choose another folder"
    )


def _locked(folder: Path) -> AbstractContextManager[object] | None:
    """The folder, locked until the block ends; None where it cannot be."""
    if fcntl is None:
        return None
    try:
        place = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder} cannot be opened: {error}") from error
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(place)
        if isinstance(error, BlockingIOError):
            raise _busy(folder) from error
        return None
    held = ExitStack()
    held.callback(os.close, place)
    return held


@contextmanager
def _locked_file(folder: Path) -> Iterator[None]:
    try:
        guard = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)
    except sqlite3.Error as error:
        raise InputError(f"{folder} cannot be written to: {error}") from error
    with closing(guard):
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise _busy(folder) from error
            raise InputError(f"{folder / LOCK} cannot be used: {error}") from error
        yield
