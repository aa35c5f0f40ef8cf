"""The SQLite file that a store is: whether it is one of ours, whole, and how it is opened and replaced."""

from __future__ import annotations

import random
import sqlite3
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from limrank_plugins.errors import InputError, LimRankWarning

_APPLICATION_ID = 0x4C524B31  # "LRK1", in the file's header
_HEADER, _MAGIC, _ID_AT = 100, b"SQLite format 3\x00", slice(68, 72)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_used ON answers (used);
CREATE TABLE IF NOT EXISTS journal (
    job TEXT NOT NULL, item TEXT NOT NULL, value BLOB NOT NULL, computed INTEGER NOT NULL,
    PRIMARY KEY (job, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO totals VALUES ('bytes', 0);
"""
_PATIENCE = 500
ON_DAMAGE = "put back a copy of it, or move it away, then all that it held is computed again"
"""What to do about a damaged file, for messages."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def open_store(path: Path, *, moves_aside: bool = True) -> sqlite3.Connection:
    """The database, new where nothing is there.

    Args:
        path: of the file.
        moves_aside: a damaged one is moved aside with a warning; else it is an error.

    Raises:
        InputError: the file is no store of ours, or cannot be opened.
    """
    check_is_store(path)
    try:
        try:
            return _open_database(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # One process at a time, and each looks again: the second must not move the first one's new
            # file.
            with _alone_with(path):
                try:
                    return _open_database(path)
                except sqlite3.OperationalError:
                    raise
                except sqlite3.DatabaseError as error:
                    if not _is_ours(path):
                        raise _no_store(path, str(error)) from error
                    if not moves_aside:
                        raise InputError(f"{path} is damaged ({error}): {ON_DAMAGE}") from error
                    _move_aside(path, error)
                return _open_database(path)
    except sqlite3.Error as error:
        raise InputError(
            f"cannot open the store {path}: {error}; look whether the file and its folder can be "
            f"written, or name another --store"
        ) from error


def mended(path: Path, error: Exception) -> sqlite3.Connection:
    """The database again after this error: the file is moved aside if it is damaged, and a new one made."""
    with _alone_with(path):
        if _is_damaged(path):  # unless another process was faster
            _move_aside(path, error)
        return _open_database(path)


def _open_database(path: Path) -> sqlite3.Connection:
    """The database, whose tables are made where it is new; `InputError` for another program's."""
    # Answers must not outlive a power cut's truth, but may be lost by it: NORMAL with WAL is that.
    database = sqlite3.connect(
        path, timeout=60, isolation_level=None, check_same_thread=False, cached_statements=32
    )
    try:
        # Tables first: another process that is creating them commits both at once.
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        owner = database.execute("PRAGMA application_id").fetchone()[0]
        if owner != _APPLICATION_ID and (tables or owner):
            raise _no_store(path, "it belongs to another program")
        _to_wal(database)
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        for statement in _SCHEMA.split(";\n"):
            if statement.strip():
                database.execute(statement)
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """Holds off other processes that want to replace the file. SQLite's own lock: it is portable."""
    guard = sqlite3.connect(f"{path}.guard", timeout=60, isolation_level=None)
    try:
        guard.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        guard.close()


def _move_aside(path: Path, reason: Exception) -> None:
    """Give a damaged file another name, with a warning; the next that opens the store makes a new one."""
    aside = path.with_name(f"{path.name}.aside-{time.time_ns()}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    warnings.warn(
        f"{path} cannot be used as a store ({reason}); moved to {aside}",
        LimRankWarning,
        stacklevel=4,
    )


def _to_wal(database: sqlite3.Connection) -> None:
    """Write-ahead logging. SQLite does not wait when two processes turn it on at once; we do."""
    for attempt in range(_PATIENCE):
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if attempt == _PATIENCE - 1:
                raise
            time.sleep(0.01 * random.random() * min(attempt + 1, 10))
        else:
            return


def check_is_store(path: Path) -> None:
    """Raise an `InputError` for a file that is there but no store of ours; it is not changed by looking."""
    try:
        # Looked at once: between two looks another process may move a damaged one aside.
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(f"cannot open the store {path}: {error}") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"cannot open the store {path}: it is no file")
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER)
    except FileNotFoundError:  # another process has just moved a damaged one aside
        return
    except OSError as error:
        raise InputError(f"cannot open the store {path}: {error}") from error
    if not header or _has_our_id(header):
        return
    if not header.startswith(_MAGIC):
        raise _no_store(path, "it is no SQLite database")
    if any(header[_ID_AT]) or _is_of_others(path):
        raise _no_store(path, "it belongs to another program")


def _no_store(path: Path, reason: str) -> InputError:
    """The error for a file that is no store of ours."""
    return InputError(
        f"{path} cannot be used as a store ({reason}): choose another file; this one was left as it is"
    )


def _has_our_id(header: bytes) -> bool:
    return header.startswith(_MAGIC) and header[_ID_AT] == _APPLICATION_ID.to_bytes(4, "big")


def _is_ours(path: Path) -> bool:
    """Whether the file's first bytes are those of a store, whatever the rest of it holds."""
    with path.open("rb") as stream:
        return _has_our_id(stream.read(_HEADER))


def _is_of_others(path: Path) -> bool:
    """Whether a database whose header names no owner is another program's; looking changes nothing."""
    # A new store's id and tables are in its -wal file at first. Without one, SQLite would create it to look.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=60)) as database:
            owner, tables = database.execute(
                "SELECT (SELECT application_id FROM pragma_application_id), "
                "(SELECT count(*) FROM sqlite_master)"
            ).fetchone()
    except sqlite3.Error:
        return False  # opening it will tell
    return bool(tables and owner != _APPLICATION_ID)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite reports that what the file holds is not what was written."""
    # Texts that are no UTF-8 are found by Python's module, which gives no code.
    no_text = str(error).startswith("Could not decode")
    return no_text or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _is_damaged(path: Path) -> bool:
    """Whether SQLite, looking through the whole file, finds that it is damaged."""
    try:
        with closing(sqlite3.connect(path, timeout=60)) as database:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return True
