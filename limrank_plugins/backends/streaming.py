"""A text as it is written: who listens hears every piece of it before the reply is complete.

Backends on this machine that write with `transformers` or llama.cpp tell; a reply out of a store is told by
nobody.

Example:
    >>> from limrank_plugins.backends.streaming import listening
    >>> with listening(lambda request, piece: print(piece, end="", flush=True)):
    ...     pass  # reranker.rank(query, documents)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from limrank_plugins.backends.protocols import Generate

Listener = Callable[[Generate, str], None]
"""Called with the request and the next piece of the text that is written for it."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """What is written in this block, by this thread or task, is told to the listener.

    It is called where the model runs, so it should return at once. Texts that are written together come
    interleaved; the request tells them apart. What it raises ends the writing.
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


class ToldText:
    """Tells of one text as it grows.

    Characters that are not complete yet, and what may become a stop string, are kept back until it is clear.

    Args:
        request: what the text is the reply to.
        listener: who is told.
    """

    def __init__(self, request: Generate, listener: Listener) -> None:
        self._request, self._listener, self._told = request, listener, 0

    def grown(self, text: str) -> None:
        """The text so far."""
        self._tell(text, _certain(text, self._request.stop))

    def ended(self, text: str) -> None:
        """The whole text, without the stop string."""
        self._tell(text, len(text))

    def _tell(self, text: str, end: int) -> None:
        if end > self._told:
            piece, self._told = text[self._told : end], end
            self._listener(self._request, piece)


def told_text(request: Generate) -> ToldText | None:
    """For whoever listens now; None if nobody does."""
    listener = _listener.get()
    return None if listener is None else ToldText(request, listener)


def _certain(text: str, stops: tuple[str, ...]) -> int:
    """How many characters stay, whatever is written next."""
    end = len(text.rstrip("\ufffd"))
    held = 0
    for stop in stops:
        sizes = range(min(len(stop) - 1, end), held, -1)
        held = next((size for size in sizes if text.endswith(stop[:size], 0, end)), held)
    return end - held
