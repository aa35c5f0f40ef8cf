r"""Files as lines and as wholes: read with errors that name the line, written all or nothing.

Lines end at "\n" alone (MS MARCO's texts hold U+0085). A name that ends in `.gz` means gzip, both ways.
What is written stands beside its place until it is whole, as `.NAME.PID.HEX`; what a killed process left
there is removed by the next that writes the same name.
"""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import os
import re
import secrets
import shutil
import sqlite3
import stat
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
from limrank_plugins.pipes import is_pipe, opened, regular_file
from limrank_plugins.segments import CONTROLS, clean_text

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
    """Numbered lines (from 1) of a UTF-8 text file or pipe, no blank ones; see `pipes.opened`.

    Raises:
        InputError: no such file, a folder, not UTF-8, a line longer than `MAX_LINE_BYTES`, or a .gz that is
            cut short or is none.
    """
    path, number = Path(path), 0
    try:
        with opened(path) as stream:
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


# ---- writing ------------------------------------------------------------------------------------


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
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line) + "\n"


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

    Where a link has the name, the file it leads to is written. A `.gz` has no name and no time in its header:
    equal content is an equal file.

    Raises:
        InputError: it is a pipe or a device.
    """
    if is_pipe(path) or _belongs_to_the_system(path):
        raise InputError(_OF_ANOTHER.format(path))
    path = Path(os.path.realpath(path))
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
    part = _part_of(target)
    _IN_WORK.add(part.name)
    try:
        yield part
    finally:
        _remove(part)
        _IN_WORK.discard(part.name)


def _part_of(target: Path) -> Path:
    return target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}"


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
    output: Path,
    *inputs: str | os.PathLike[str] | None,
    store: str | os.PathLike[str] | None = None,
    folder: bool = False,
) -> None:
    """Raise an `InputError` for an output that could not be written once all the work is done.

    Nothing is written or made for this.

    Args:
        output: what will be written; it need not be there, nor its folder.
        inputs: what is read, which it must not be; None and what is not there count for nothing.
        store: a reply store, which keeps files with further endings beside it.
        folder: whether a folder is written.
    """
    stored = [Path(f"{store}{end}").resolve() for end in ("", "-wal", "-shm")] if store is not None else []
    if stored and output.resolve() in stored:
        raise InputError(f"the output {output} is where the store {store} keeps replies: choose another file")
    if is_pipe(output):
        raise InputError(_OF_ANOTHER.format(output))
    mode = _mode_where_it_can_be_written(output)
    if _belongs_to_the_system(output):
        raise InputError(_OF_ANOTHER.format(output))
    if mode is None:
        return
    if stat.S_ISDIR(mode) != folder:
        was, wanted = ("a file", "a folder") if folder else ("a folder", "a file")
        raise InputError(f"the output {output} is {was}: name {wanted}")
    for given in inputs:
        if given is None or not (source := Path(given)).exists():
            continue
        if output.samefile(source):
            raise InputError(f"the output {output} is read as an input ({source}): choose another file")


_OF_ANOTHER = "the output {} is a pipe or a device, which would be replaced: name a file"


def _belongs_to_the_system(output: Path) -> bool:
    """Whether it is a device's or process's: /dev/stdout may lead to a file, which its opener writes."""
    place = os.path.abspath(output)
    return place.startswith(("/dev/", "/proc/", "/sys/")) and not place.startswith("/dev/shm/")


def make_folder(folder: Path) -> None:
    """Make a folder to write into, which may be there; an `InputError` where that cannot be."""
    check_output(folder, folder=True)
    try:
        Path(os.path.realpath(folder)).mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a full disk, a file system that takes no such name
        raise InputError(f"the output {folder} cannot be written: {error.strerror}; name another") from error


def _mode_where_it_can_be_written(output: Path) -> int | None:
    """The mode of what is there; None where nothing is."""
    absolute = Path(os.path.abspath(output))
    try:
        _mode(_part_of(absolute))  # the longest name of all
        found = _mode(absolute)
        above = next(parent for parent in absolute.parents if _mode(parent) is not None)
        where = absolute if found is not None and stat.S_ISDIR(found) else above
        if not stat.S_ISDIR(_mode(above) or 0):
            raise NotADirectoryError(errno.ENOTDIR, f"{above} is no folder")
        if not os.access(where, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, f"the folder {where} may not be written to")
    except OSError as error:
        raise InputError(f"the output {output} cannot be written: {error.strerror}; name another") from error
    return found


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:  # what is above it, which is looked at, too
        return None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder, which must be there. The operating system lets go of it when the process dies.

    The folder itself is locked, and nothing is written into it. Where that cannot be done (Windows, some
    network drives), SQLite's lock of a file in it is taken, which stays there.

    Raises:
        InputError: another process holds it, or it cannot be opened.
    """
    busy = f"another process is working in {folder}: wait until it is done, or choose another folder"
    with _locked(folder, os.O_RDONLY, busy) or _locked_database(folder / LOCK, busy):
        yield


@contextmanager
def alone_at(output: Path) -> Iterator[None]:
    """Hold the name of a file that will be written; its folder is made.

    What is locked is a file `.NAME.lock` beside it. It is gone at the end, but where SQLite's lock had to be
    taken; one that a killed process left holds nobody up.

    Raises:
        InputError: another process holds it, or its folder cannot be made or written to.
    """
    busy = f"another process is writing {output}: wait until it is done, or choose another output"
    lock = output.with_name(f".{output.name}.lock")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the output {output} cannot be written: {error}") from error
    with _locked(lock, os.O_RDWR | os.O_CREAT, busy) or _locked_database(lock, busy):
        yield


def _locked(place: Path, flags: int, busy: str) -> AbstractContextManager[object] | None:
    """The file or folder, locked until the block ends, when a file is removed; None where it cannot be."""
    if fcntl is None:
        return None
    while True:
        try:
            opened = os.open(place, flags | os.O_NOFOLLOW * bool(flags & os.O_CREAT), 0o666)
        except OSError as error:
            raise InputError(f"{place} cannot be opened: {error}") from error
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(opened)
            if isinstance(error, BlockingIOError):
                raise InputError(busy) from error
            return None
        held = ExitStack()
        held.callback(os.close, opened)
        # Whoever held it may have just taken the file away; then it locks nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(opened), os.stat(place)):
                if flags & os.O_CREAT:
                    held.callback(place.unlink, missing_ok=True)
                return held
        held.close()


@contextmanager
def _locked_database(file: Path, busy: str) -> Iterator[None]:
    try:
        guard = sqlite3.connect(file, timeout=0, isolation_level=None)
    except sqlite3.Error as error:
        raise InputError(f"{file.parent} cannot be written to: {error}") from error
    with closing(guard):
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise InputError(busy) from error
            raise InputError(f"{file} cannot be used: {error}") from error
        yield
