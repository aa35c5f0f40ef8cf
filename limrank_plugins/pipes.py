"""Files and pipes that are read: which of them can be read twice, and how a stream of bytes is opened.

A pipe (`-` for standard input, `/dev/stdin`, a named pipe, a shell's `<(command)`) can be read once, from its
beginning to its end. What is read twice, in parts or mapped must be a file.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError, LimRankWarning

STDIN = "-"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/|data:", re.IGNORECASE)  # a path has no double slash
_HAS_BEEN_READ: list[str] = []
_PATIENCE = 1.0  # seconds until it is said that a pipe is waited for


@contextmanager
def opened(path: Path, encoding: str = "utf-8") -> Iterator[Any]:
    """A file or pipe as a stream of bytes.

    What is gzipped is unpacked: a file whose name ends in `.gz`, a pipe that begins as gzip does. A pipe that
    nothing is written to is waited for, which is said in a warning.

    Args:
        path: what is read.
        encoding: of its text, which is handed on in UTF-8 whatever it is.

    Raises:
        InputError: it is not there, a folder, or cannot be opened.
    """
    with ExitStack() as held:
        try:
            if not is_pipe(path):
                stream = held.enter_context(regular_file(path).open("rb"))
                is_packed = path.name.endswith(".gz")
            else:
                with _saying_that_it_waits(path):
                    stream = held.enter_context(_standard_input() if str(path) == STDIN else path.open("rb"))
                    is_packed = stream.peek(2).startswith(b"\x1f\x8b")
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        # Buffered, because GzipFile's own lines are read in Python.
        if is_packed:
            stream = io.BufferedReader(held.enter_context(gzip.open(stream, "rb")))
        yield stream if encoding == "utf-8" else io.BufferedReader(_InUTF8(stream, encoding))


class _InUTF8(io.RawIOBase):
    """The text of a stream of bytes in another encoding, as bytes in UTF-8."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = self._stream.read(1 << 16)
            self._left = self._decoder.decode(block, final=not block).encode("utf-8", "surrogatepass")
            if not block:
                break
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def _standard_input() -> Any:
    if _HAS_BEEN_READ:
        raise InputError(
            "standard input (-) has been read already: name it once, and write the rest to files"
        )
    _HAS_BEEN_READ.append(STDIN)
    return open(0, "rb", closefd=False)


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether this can be read only once: `-` for standard input, a named pipe, `<(command)`, a terminal."""
    if os.fspath(path) == STDIN:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def regular_file(path: str | os.PathLike[str], what: str = "file") -> Path:
    """The path of a file that can be read twice, in parts or mapped.

    Args:
        path: the file.
        what: what the message calls it.

    Raises:
        InputError: there is none, or it is a folder, a pipe or a device.
    """
    if not os.fspath(path):
        raise InputError(f"the {what} has an empty name: give the path of a file, or leave it out")
    path = Path(path)
    if is_pipe(path):
        raise InputError(
            f"the {what} {str(path)!r} is a pipe or a device, which can be read only once: write it to a "
            f"file, and name that"
        )
    refuse_address(str(path), f"the {what}")
    if path.is_dir():
        raise InputError(f"the {what} {str(path)!r} is a folder: name a file in it")
    if not path.is_file():
        raise InputError(f"there is no {what} {str(path)!r}")
    return path


def shown_address(address: str) -> str:
    """An address without what may be a login or a key (a signature behind the `?`), and not too long."""
    scheme, mark, rest = address.partition("?")[0].partition("#")[0].partition(":/")
    host, slash, path = rest.removeprefix("/").partition("/")
    mark += "/" * rest.startswith("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"[:120]


def refuse_address(name: str, what: str) -> None:
    """Raise an `InputError` where a file is named by an address; whoever wrote it must not make us fetch it.

    Args:
        name: what was given.
        what: what the message calls it.
    """
    if _ADDRESS.match(name):
        raise InputError(
            f"{what} {shown_address(name)!r} is an address, which is not fetched: download it, and name the "
            f"file"
        )


@contextmanager
def _saying_that_it_waits(path: Path) -> Iterator[None]:
    """A pipe that nobody writes to must not look like a command that hangs."""

    def tell() -> None:
        shown = "standard input" if str(path) == STDIN else str(path)
        warnings.warn(
            f"waiting for {shown}: nothing has been written to it yet", LimRankWarning, stacklevel=1
        )

    timer = threading.Timer(_PATIENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file or pipe in UTF-8.

    Raises:
        InputError: as for `opened`, or it is not UTF-8.
    """
    with opened(Path(path)) as stream:
        try:
            return str(stream.read(), "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 ({error.reason} at byte {error.start})") from error
