"""What is written: looked at before the work, and put in its place all or nothing.

It stands beside its place until it is whole, as `.NAME.PID.HEX`; what a killed process left there is removed
by the next that writes the same name. A name that ends in `.gz` means gzip.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from limrank_plugins.errors import InputError
from limrank_plugins.files import json_line
from limrank_plugins.pipes import is_pipe

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says where a disk, a quota or the size of a file is at its end."""
_IN_WORK: set[str] = set()


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

    Raises:
        OSError: as for `naming`; of what goes wrong with the place beside it, too, the target is named.
    """
    remove_leftovers(target)
    part = _part_of(target)
    _IN_WORK.add(part.name)
    try:
        with naming(target):
            try:
                yield part
            except OSError as error:
                if not str(error.filename).startswith(str(part)):
                    raise
                raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        _remove(part)
        _IN_WORK.discard(part.name)


@contextmanager
def naming(output: str | os.PathLike[str]) -> Iterator[None]:
    """Name what is written in the block where there is no room for it, which a write itself does not say.

    Args:
        output: the file or folder, or words for one that has no name.

    Raises:
        OSError: there was no room; its `filename` is the output.
    """
    try:
        yield
    except Exception as error:
        number = _no_room(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), os.fspath(output)) from error


def _no_room(error: Exception) -> int | None:
    """The system's number for a write without room, where the error tells of one and names no file."""
    if isinstance(error, OSError):
        if error.filename is None and error.errno in NO_ROOM:
            return error.errno
        # numpy's, of a write that was cut short
        is_cut = error.errno is None and re.fullmatch(r"\d+ requested and \d+ written", str(error))
        return errno.ENOSPC if is_cut else None
    match = re.search(r"\(os error (\d+)\)", str(error))  # Rust's: safetensors, tokenizers
    return int(match[1]) if match and int(match[1]) in NO_ROOM else None


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
        match = pattern.fullmatch(name)
        part = target.with_name(name)
        if match and name not in _IN_WORK and not _is_alive(int(match[1][:20])) and not _is_held(part):
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
    for name in inputs:
        if name is None or not (source := Path(name)).exists():
            continue
        if output.samefile(source):
            raise InputError(f"the output {output} is read as an input ({source}): choose another file")


def check_ours(output: Path, is_ours: Callable[[Path], bool], *, option: str) -> None:
    """Raise an `InputError` where another file than one of ours is in the place of an output.

    A name is mistyped soon, and one that is made of another's was never read: only what we wrote is replaced.

    Args:
        output: what will be written.
        is_ours: whether a file there is one of ours; an empty file is anybody's.
        option: what names another place.
    """
    if output.is_file() and output.stat().st_size and not is_ours(output):
        raise InputError(
            f"the output {output} would replace a file that was not written by this command: move it, or "
            f"name another place with {option}"
        )


def check_apart(**outputs: Path | None) -> None:
    """Raise an `InputError` where two outputs of one command are one file, under whatever paths.

    Args:
        outputs: what will be written, by what a user calls it; None counts for nothing.
    """
    taken: dict[str, str] = {}
    for name, output in outputs.items():
        if output is None:
            continue
        place = os.path.realpath(output)
        if place in taken:
            raise InputError(f"{taken[place]} and {name} are both {output}: name two files")
        taken[place] = name


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
        mode = _mode(absolute)
        above = next(parent for parent in absolute.parents if _mode(parent) is not None)
        where = absolute if mode is not None and stat.S_ISDIR(mode) else above
        if not stat.S_ISDIR(_mode(above) or 0):
            raise NotADirectoryError(errno.ENOTDIR, f"{above} is no folder")
        if not os.access(where, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, f"the folder {where} may not be written to")
    except OSError as error:
        raise InputError(f"the output {output} cannot be written: {error.strerror}; name another") from error
    return mode


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:  # what is above it, which is looked at, too
        return None
