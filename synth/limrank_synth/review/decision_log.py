r"""The append-only log: one decision a line, on the disk before anybody is told that it stands.

A line is only ever added. A process that is killed while it writes leaves a torn line: it is reported and
skipped, and the next line starts on a line of its own. Several processes may append to one log.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.segments import clean_text
from limrank_synth.review.decision import Decision

try:
    import fcntl
except ImportError:  # Windows: one process at a time, as the documentation says
    fcntl = None  # type: ignore[assignment]


class DecisionLog:
    """A log of decisions; safe for threads, and on POSIX for processes.

    Args:
        path: the file; made by the first decision.

    Attributes:
        torn: numbers of lines that are cut short; what was on them is lost and was never acknowledged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.torn: list[int] = []
        self._at = 0
        self._line = 0
        self._tail_torn = False
        self._lock = threading.Lock()

    @property
    def problems(self) -> list[str]:
        """What a person should know about the file."""
        lines = [*self.torn, *([self._line + 1] if self._tail_torn else [])]
        return [
            f"{self.path.name}, line {number} is cut short, as by a kill or a full disk; it is skipped"
            for number in lines
        ]

    def news(self) -> list[Decision]:
        """The entries since the last call, whoever wrote them.

        Raises:
            InputError: a whole line that is no decision; the file is something else, or was edited.
        """
        with self._lock:
            return self._news()

    def append(self, entry: Decision) -> None:
        """Write a decision down; it is on the disk when this returns. `news` tells of it like of any other.

        Raises:
            OSError: it could not be written, and does not stand.
        """
        self.append_if(lambda _: entry)

    def append_if(self, decide: Callable[[list[Decision]], Decision | None]) -> list[Decision]:
        """Append what `decide` makes of the news; nothing can come between it and the news.

        Args:
            decide: told the entries since the last call; its entry is appended, None is not.

        Returns:
            The news, and at their end the new entry where there is one.

        Raises:
            OSError: it could not be written, and does not stand. The news are not lost: `decide` saw them.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        with self._lock:
            is_new = not self.path.exists()
            file = os.open(self.path, flags, 0o644)
            try:
                with _alone(file):
                    news = self._news()
                    entry = decide(news)
                    if entry is None:
                        return news
                    line = _packed(entry.as_json())
                    size = os.fstat(file).st_size
                    if size and not _ends_line(file, size):
                        line = b"\n" + line
                    written = os.write(file, line)
                    if written != len(line):
                        raise OSError(f"{self.path}: only {written} of {len(line)} bytes could be written")
                    os.fsync(file)
                    if is_new:
                        _sync_folder(self.path.parent)
                    return news + self._news()
            finally:
                os.close(file)

    def _news(self) -> list[Decision]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self._at)
            fresh = stream.read()
        at, line, torn = self._at, self._line, list[int]()
        decisions: list[Decision] = []
        *whole, tail = fresh.split(b"\n")
        for text in whole:
            at += len(text) + 1
            line += 1
            data = _unpacked(text)
            if data is not None:
                decisions.append(self._entry(data, line))
            elif text.strip():
                self._check_torn(text, line)
                torn.append(line)
        # All but the line's end was written: the decision is there. What follows it starts a new line.
        data = _unpacked(tail)
        if data is not None:
            at += len(tail)
            decisions.append(self._entry(data, line + 1))
        elif tail.strip():
            self._check_torn(tail, line + 1)
        # Only now: a log that cannot be read is read again from the same place.
        self._at, self._line = at, line
        self.torn += torn
        self._tail_torn = bool(tail.strip()) and data is None
        return decisions

    def _check_torn(self, text: bytes, line: int) -> None:
        """A line that is cut short begins as a decision does, or holds a power cut's zeros; text does not."""
        beginning = text.strip(b"\0 \t\r")
        if beginning and not beginning.startswith(b"{"):
            raise InputError(f"{self.path}, line {line}: this is no decision; name another --log")

    def _entry(self, data: Any, line: int) -> Decision:
        try:
            return Decision.from_json(data)
        except InputError as error:
            raise InputError(f"{self.path}, line {line}: {error}") from error


def _packed(data: dict[str, Any]) -> bytes:
    return (clean_text(json.dumps(data, ensure_ascii=False)) + "\n").encode("utf-8")


def _unpacked(line: bytes) -> Any | None:
    """The JSON object of a line; None where it is no JSON: every proper prefix of an object is none."""
    if not line.strip():
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _ends_line(file: int, size: int) -> bool:
    os.lseek(file, size - 1, os.SEEK_SET)
    return os.read(file, 1) == b"\n"


def _sync_folder(folder: Path) -> None:
    if fcntl is None:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _alone(file: int) -> Iterator[None]:
    """Hold off other processes that append. The lock goes with the file's handle, even after a kill."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
    yield
