"""What comes to light while requests are answered, and belongs into the usage of their replies.

Deep inside a backend it is noticed that a marker was neutralised, or that a try may have been charged for;
whoever asked the backend counts. Each thread and task counts on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from limrank_plugins.data import Usage


@dataclass
class UsageSum:
    """What was noted so far."""

    usage: Usage = Usage()


_NOTED: ContextVar[UsageSum | None] = ContextVar("limrank_noted", default=None)


@contextmanager
def counting() -> Iterator[UsageSum]:
    """Count what is noted in this thread or task until the block ends."""
    noted = UsageSum()
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def note(usage: Usage) -> None:
    """Add to what is counted; where nobody counts, nothing happens."""
    noted = _NOTED.get()
    if noted is not None:
        noted.usage = noted.usage + usage
