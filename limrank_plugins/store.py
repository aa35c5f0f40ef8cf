"""The one SQLite file that all rooms use: answers that need not be asked again, and journals.

*Answers* map a 32-byte key (see `backends.request_keys`) to bytes; they may be evicted.
*Journals* hold the committed items of long jobs, so that a killed job goes on where it was; they
count how often an item was computed, which shows that nothing committed is computed twice.

Write-ahead logging lets many processes share a file. A store that is damaged is moved aside with a
warning, never deleted; a file that is no store of ours is refused and left as it is. Whatever SQLite
reports is a `LimRankError`. No pickle: keys, values and journal entries are bytes and JSON.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from limrank_plugins.errors import InputError, LimRankError, LimRankWarning
from limrank_plugins.store_file import ON_DAMAGE, is_damage, mended, open_store

_DAY = 86_400


def default_store_path() -> Path:
    """`$LIMRANK_CACHE/store.sqlite`, or the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`).

    Raises:
        InputError: the cache folder cannot be written.
    """
    return writable_cache() / "store.sqlite"


def cache_folder() -> Path:
    """Where indexes and stored answers go unless told otherwise; `LIMRANK_CACHE` moves it."""
    named = os.environ.get("LIMRANK_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "limrank"


def writable_cache() -> Path:
    """The cache folder, which is made where it is not there.

    Raises:
        InputError: it cannot be made, or not be written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "you have no right to write there"
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError) else str(error.strerror)
    if reason:
        raise InputError(
            f"the cache {folder}, where indexes and answers are kept, cannot be written: {reason}; set "
            f"LIMRANK_CACHE to a folder that can"
        )
    return folder


class NotKept(LimRankError):
    """What was to be kept could not be written: a full disk, a file that is read-only."""


class Store:
    """A file of answers and journals. Safe for threads and processes; a pickled one is opened anew.

    Args:
        path: the file; its folder is created.
        max_bytes: answers are evicted, least recently used first, above this many bytes of keys and
            values (default 2 GiB). Journals do not count and are never evicted. None: answers are no cache
            but paid for: none is evicted, and a damaged file is an error instead of being moved aside.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int | None = 2 << 30) -> None:
        if max_bytes is not None and max_bytes <= 0:
            raise InputError(f"max_bytes must be > 0, but got {max_bytes}")
        self.path = Path(path)
        self.max_bytes = max_bytes
        self._lock = threading.RLock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot open the store {self.path}: {error}") from error
        self._pid = os.getpid()
        self._held = self._opened()

    def _opened(self) -> sqlite3.Connection:
        return open_store(self.path, moves_aside=self.max_bytes is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process it is opened anew: connections cannot travel.
        return _reopen, (type(self), os.fspath(self.path), self.max_bytes)

    @property
    def _db(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            # A forked child must not touch its parent's connection, not even to close it.
            self._inherited, self._pid = self._held, os.getpid()
            self._lock = threading.RLock()
            self._held = self._opened()
        return self._held

    @contextmanager
    def _mending(self) -> Iterator[None]:
        """A cache that turns out to be damaged is replaced, and work goes on."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not is_damage(error) or self.max_bytes is None:
                raise
            self._held.close()
            self._held = mended(self.path, error)

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """Whatever SQLite reports becomes one sentence.

        Args:
            what: what is read or written, for the message.
        """
        try:
            yield
        except sqlite3.Error as error:
            if is_damage(error):
                raise LimRankError(
                    f"the {what} in {self.path} cannot be used, the file is damaged ({error}): {ON_DAMAGE}"
                ) from error
            raise LimRankError(
                f"the {what} in {self.path} cannot be read or written: {error}; look whether the disk is "
                f"full or the file read-only, then give the same command again"
            ) from error

    # ---- answers --------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The stored values of those keys that are there."""
        values: dict[bytes, bytes] = {}
        stale: list[tuple[int, bytes]] = []
        now = int(time.time())
        with self._reporting("answers"), self._lock, self._mending():
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                places = ",".join("?" * len(part))
                rows = self._db.execute(f"SELECT key, value, used FROM answers WHERE key IN ({places})", part)
                for key, value, used in rows:
                    values[key] = value
                    if (
                        not isinstance(used, int) or now - used > _DAY
                    ):  # a finer clock would turn every read into a write
                        stale.append((now, key))
            if stale:
                # A disk that is full or read-only keeps the old times; the answers can be read.
                with suppress(sqlite3.OperationalError), self._transaction():
                    self._db.executemany("UPDATE answers SET used = ? WHERE key = ?", stale)
        return values

    def put_many(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Store values, all or none of them. A full or read-only disk is a warning: the answers stand."""
        try:
            self.keep_many(items)
        except NotKept as error:
            warnings.warn(str(error), LimRankWarning, stacklevel=2)

    def keep_many(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """`put_many` for answers that must not be lost.

        Raises:
            NotKept: they could not be written.
        """
        rows = [(key, value, int(time.time())) for key, value in dict(items).items()]
        if not rows:
            return
        try:
            with self._lock, self._mending():
                self._put(rows)
        except sqlite3.Error as error:
            look = "look whether the disk is full or the file read-only"
            advice = f"the file is damaged: {ON_DAMAGE}" if is_damage(error) else look
            raise NotKept(f"answers are not kept in {self.path}: {error}; {advice}") from error

    def _put(self, rows: Sequence[tuple[bytes, bytes, int]]) -> None:
        with self._transaction():
            added = 0
            for row in rows:
                old = self._db.execute("SELECT length(value) FROM answers WHERE key = ?", row[:1]).fetchone()
                added += len(row[1]) - old[0] if old else len(row[0]) + len(row[1])
            self._db.executemany(
                "INSERT INTO answers VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET value = excluded.value, used = excluded.used",
                rows,
            )
            self._db.execute("UPDATE totals SET value = value + ? WHERE name = 'bytes'", (added,))
            self._evict()

    def drop_many(self, keys: Sequence[bytes]) -> None:
        """Take values out, those that are there. A full or read-only disk is a warning: they stay."""
        try:
            with self._lock, self._mending(), self._transaction():
                for key in keys:
                    row = self._db.execute(
                        "SELECT length(value) FROM answers WHERE key = ?", (key,)
                    ).fetchone()
                    if row is not None:
                        self._db.execute("DELETE FROM answers WHERE key = ?", (key,))
                        freed = len(key) + row[0]
                        self._db.execute("UPDATE totals SET value = value - ? WHERE name = 'bytes'", (freed,))
        except sqlite3.Error as error:
            warnings.warn(f"answers are not taken out of {self.path}: {error}", LimRankWarning, stacklevel=2)

    def answer_bytes(self) -> int:
        """Bytes of keys and values held."""
        with self._reporting("answers"), self._lock:
            return self._answer_bytes()

    def _answer_bytes(self) -> int:
        row = self._db.execute("SELECT value FROM totals WHERE name = 'bytes'").fetchone()
        return int(row[0])

    def _evict(self) -> None:
        held = self._answer_bytes()
        if self.max_bytes is None or held <= self.max_bytes:
            return
        goal, freed, gone = held - self.max_bytes * 9 // 10, 0, []
        rows = self._db.execute("SELECT key, length(key) + length(value) FROM answers ORDER BY used, key")
        for key, size in rows:
            if freed >= goal:
                break
            gone.append((key,))
            freed += size
        self._db.executemany("DELETE FROM answers WHERE key = ?", gone)
        self._db.execute("UPDATE totals SET value = value - ? WHERE name = 'bytes'", (freed,))

    # ---- journals -------------------------------------------------------------------------------

    def commit(self, job: str, item: str, value: bytes) -> None:
        """Record an item of a job as done. Doing it again replaces the value and is counted.

        Raises:
            LimRankError: the file cannot be written or is damaged; so for all methods of journals.
        """
        with self._reporting("journal"), self._lock, self._transaction():
            self._db.execute(
                "INSERT INTO journal VALUES (?, ?, ?, 1) ON CONFLICT (job, item) DO UPDATE "
                "SET value = excluded.value, computed = computed + 1",
                (job, item, value),
            )

    def find(self, job: str, item: str) -> bytes | None:
        """The value of one item of a job, or None where it is not done."""
        with self._reporting("journal"), self._lock:
            row = self._db.execute(
                "SELECT value FROM journal WHERE job = ? AND item = ?", (job, item)
            ).fetchone()
            return None if row is None else _entry(row[0])

    def each(self, job: str) -> Iterator[tuple[str, bytes]]:
        """The done items of a job one after another, for jobs that are larger than memory."""
        last = ""
        while True:
            with self._reporting("journal"), self._lock:
                rows = self._db.execute(
                    "SELECT item, value FROM journal WHERE job = ? AND item > ? ORDER BY item LIMIT 500",
                    (job, last),
                ).fetchall()
                entries = [(str(item), _entry(value)) for item, value in rows]
            if not rows:
                return
            yield from entries
            last = rows[-1][0]

    def committed(self, job: str) -> dict[str, bytes]:
        """The done items of a job."""
        with self._reporting("journal"), self._lock:
            rows = self._db.execute("SELECT item, value FROM journal WHERE job = ?", (job,)).fetchall()
            return {str(item): _entry(value) for item, value in rows}

    def computed(self, job: str) -> dict[str, int]:
        """How often each done item of a job was computed."""
        with self._reporting("journal"), self._lock:
            rows = self._db.execute("SELECT item, computed FROM journal WHERE job = ?", (job,)).fetchall()
        return dict(rows)

    # ---- housekeeping ---------------------------------------------------------------------------

    def is_empty(self) -> bool:
        """Whether it holds neither answers nor items of jobs."""
        with self._reporting("store"), self._lock:
            held = self._db.execute("SELECT EXISTS (SELECT 1 FROM answers) + EXISTS (SELECT 1 FROM journal)")
            return not held.fetchone()[0]

    def absorb(self, other: Path) -> None:
        """Take over all that another store's file holds, or nothing; it wins where both hold the same.

        Raises:
            LimRankError: a file cannot be read or written.
        """
        with self._reporting("store"), self._lock:
            self._db.execute("ATTACH DATABASE ? AS other", (os.fspath(other),))
            try:
                with self._transaction():
                    self._db.execute(
                        "UPDATE totals SET value = value "
                        "+ (SELECT ifnull(sum(length(key) + length(value)), 0) FROM other.answers) "
                        "- (SELECT ifnull(sum(length(key) + length(value)), 0) FROM main.answers "
                        "WHERE key IN (SELECT key FROM other.answers)) WHERE name = 'bytes'"
                    )
                    self._db.execute(
                        "INSERT INTO main.answers SELECT * FROM other.answers WHERE true "
                        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, used = excluded.used"
                    )
                    self._db.execute(
                        "INSERT INTO main.journal SELECT * FROM other.journal WHERE true "
                        "ON CONFLICT (job, item) DO UPDATE "
                        "SET value = excluded.value, computed = computed + excluded.computed"
                    )
                    self._evict()
            finally:
                self._db.execute("DETACH DATABASE other")

    def close(self) -> None:
        """Close the file. May be called twice."""
        with self._lock:
            if self._pid == os.getpid():
                self._held.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """BEGIN IMMEDIATE … COMMIT: takes the write lock first, so two processes never deadlock."""
        database = self._db
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if database.in_transaction:  # some errors have rolled back already
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def _entry(value: object) -> bytes:
    """The bytes of a journal's entry; a damaged page can make anything else of them."""
    if not isinstance(value, bytes):
        raise sqlite3.DatabaseError(f"Could not decode {type(value).__name__} as an entry")
    return value


def _reopen(kind: type[Store], path: str, max_bytes: int | None) -> Store:
    return kind(path, max_bytes=max_bytes)
