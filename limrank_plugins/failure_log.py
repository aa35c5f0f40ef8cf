"""One warning for every ranking with documents that could not be judged.

A caller that says so by itself (the integrations of LlamaIndex, Haystack and LangChain, which know their
keys) asks within `told_by_caller()`, and is not repeated here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from limrank_plugins.data import Ranking

logger = logging.getLogger(__name__)

_told_by_caller: ContextVar[bool] = ContextVar("told_by_caller", default=False)


@contextmanager
def told_by_caller() -> Iterator[None]:
    """Nothing is logged of rankings made in this block: who asked for them says what failed."""
    before = _told_by_caller.set(True)
    try:
        yield
    finally:
        _told_by_caller.reset(before)


def log_failures(rankings: Sequence[Ranking], documents: Sequence[int]) -> None:
    """Warn of every ranking with failures: how many there are, and why the first one failed.

    Args:
        rankings: what was ranked.
        documents: how many documents each of them was given.
    """
    if _told_by_caller.get():
        return
    for ranking, given in zip(rankings, documents, strict=True):
        if ranking.failures:
            logger.warning(
                "%d of %d documents of query %r could not be judged and keep their places; the first one, "
                "%r: %s",
                len(ranking.failures),
                given,
                ranking.query.id,
                ranking.failures[0].id,
                ranking.failures[0].reason,
            )
