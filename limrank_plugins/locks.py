"""One process at a time in a folder, or at the name of a file."""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from limrank_plugins.errors import InputError, LimRankWarning

LOCK = "lock.sqlite"
_LOOKED_AGAIN = 0.2  # seconds


class _Busy(InputError):
    """Another process holds it."""


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


@contextmanager
def in_turn_at(output: Path) -> Iterator[None]:
    """`alone_at` for what every process wants alike: another one's end is waited for, with a warning.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    with ExitStack() as held:
        told = False
        while True:
            try:
                held.enter_context(alone_at(output))
                break
            except _Busy:
                if not told:
                    doing = f"another process is writing {output}: waiting until it is done"
                    warnings.warn(doing, LimRankWarning, stacklevel=3)
                told = True
                time.sleep(_LOOKED_AGAIN)
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
                raise _Busy(busy) from error
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
                raise _Busy(busy) from error
            raise InputError(f"{file} cannot be used: {error}") from error
        yield
