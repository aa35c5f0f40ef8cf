"""One process at a time works in a run's folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from limrank_plugins.errors import InputError

LOCK = "lock.sqlite"


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
