"""One warning for every ranking with documents that could not be judged, and for what was not read as it is.

A caller that says so by itself (the integrations of LlamaIndex, Haystack and LangChain, which know their
keys) asks within `told_by_caller()`, and is not repeated here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from limrank_plugins.data import Ranking
from limrank_plugins.secrecy import redacted
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of, shortened, verb_for

logger = logging.getLogger(__name__)

_said = threading.Event()
_told_by_caller: ContextVar[bool] = ContextVar("told_by_caller", default=False)


@contextmanager
def told_by_caller() -> Iterator[None]:
    """Nothing is logged of rankings made in this block: who asked for them says what failed."""
    before = _told_by_caller.set(True)
    try:
        yield
    finally:
        _told_by_caller.reset(before)


def remarks(rankings: Sequence[Ranking]) -> list[str]:
    """What was not read as it is, in sentences: cut queries, neutralised markers."""
    said = []
    cut = [ranking for ranking in rankings if ranking.query_cut_tokens]
    if cut:
        tokens = max(ranking.query_cut_tokens for ranking in cut)
        known = Unread(len(cut), of_queries=len(rankings)).sentences()[0]
        which = "the query was longer than the model reads" if len(rankings) == 1 else known
        said.append(f"{which}: the last {number_of(tokens, 'token')} were not read")
    neutralised = sum(ranking.usage.neutralised for ranking in rankings)
    if neutralised:
        said.append(
            f"{number_of(neutralised, 'marker')} such as </think> in queries and passages "
            f"{verb_for(neutralised, 'were')} neutralised, "
            f"counted each time a model read them"
        )
    return said


def warn_of(
    ranking: Ranking,
    logger: logging.Logger,
    documents: str,
    secrets: Sequence[str],
    named: Callable[[str], str] = repr,
) -> None:
    """Warn of what could not be judged and what was not read, for who asked within `told_by_caller()`.

    Args:
        ranking: what was ranked.
        logger: where it is said.
        documents: how many it was given, in words.
        secrets: what servers like to quote when they refuse it.
        named: how the first failed one is written.
    """
    for remark in remarks([ranking]):
        logger.warning("%s", remark)
    if ranking.failures:
        first = ranking.failures[0]
        logger.warning(
            "%d of %s could not be judged and keep their places; the first one, %s: %s",
            len(ranking.failures),
            documents,
            named(shortened(first.id)),
            redacted(first.reason, secrets),
        )


def log_failures(rankings: Sequence[Ranking], documents: Sequence[int]) -> None:
    """Warn of every ranking with failures: how many there are, and why the first one failed.

    What `remarks` says of the first rankings that it says anything of is a warning, too; later it is an info.

    Args:
        rankings: what was ranked.
        documents: how many documents each of them was given.
    """
    if _told_by_caller.get():
        return
    if said := remarks(rankings):
        # Loud once: a long job ranks query after query.
        level = logging.INFO if _said.is_set() else logging.WARNING
        _said.set()
        for remark in said:
            logger.log(level, "%s", remark)
    for ranking, given in zip(rankings, documents, strict=True):
        if ranking.failures:
            logger.warning(
                "%d of %s of query %r could not be judged and keep their places; the first one, %r: %s",
                len(ranking.failures),
                number_of(given, "document"),
                shortened(ranking.query.id or ranking.query.text),
                shortened(ranking.failures[0].id),
                ranking.failures[0].reason,
            )
