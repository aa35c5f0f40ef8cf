"""The three ways in which the same questions are asked."""

from __future__ import annotations

from collections.abc import Sequence

from limrank_plugins.errors import InputError

CLOSED_BOOK, RETRIEVE, RERANK = "closed-book", "retrieve", "rerank"

CONDITIONS = {
    CLOSED_BOOK: "closed book",
    RETRIEVE: "retrieve",
    RERANK: "retrieve + rerank",
}
"""What a condition is called in options and files, and in reports; from the simplest to the fullest."""


def chosen_conditions(asked: Sequence[str], *, corpus: bool) -> tuple[str, ...]:
    """The conditions that were asked for, each once, the simplest first; by default all that are possible.

    Args:
        asked: their names; empty for all.
        corpus: there is something to search.

    Raises:
        InputError: no such condition, or one that needs a corpus where there is none.
    """
    for name in asked:
        if name not in CONDITIONS:
            raise InputError(f"there is no condition {name!r}; there are: {', '.join(CONDITIONS)}")
        if name != CLOSED_BOOK and not corpus:
            raise InputError(f"condition {name!r} needs passages to search: name them with --corpus")
    if asked:
        return tuple(name for name in CONDITIONS if name in asked)
    return tuple(CONDITIONS) if corpus else (CLOSED_BOOK,)
