"""What one request has cost so far, over all of its calls and tries, in case it ends in a failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from limrank_plugins.data import Usage


@dataclass
class Spent:
    """What a request has cost so far.

    Attributes:
        usage: of its calls that were answered; `uncertain` counts the tries that may have cost something.
    """

    usage: Usage = Usage()


_SPENT: ContextVar[Spent | None] = ContextVar("limrank_spent", default=None)


@contextmanager
def counting() -> Iterator[Spent]:
    """Count what is noted in this task until the block ends."""
    spent = Spent()
    token = _SPENT.set(spent)
    try:
        yield spent
    finally:
        _SPENT.reset(token)


def note(usage: Usage) -> None:
    """Add to what the request under way has cost."""
    spent = _SPENT.get()
    if spent is not None:
        spent.usage = spent.usage + usage
