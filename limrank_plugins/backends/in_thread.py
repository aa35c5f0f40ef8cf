"""A plain backend asked from async code: in a thread, which a cancellation ends at the next reply."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from limrank_plugins.backends.asking import ask, tells_of_replies
from limrank_plugins.backends.protocols import Arrived, Reply, Request


class _NobodyWaits(BaseException):
    """Nobody waits for the rest of the batch. No `Exception`, or it would be taken for a failed reply."""


class _Relay:
    """Hands on what arrives, and stops the backend behind it once nobody waits. Safe for threads."""

    def __init__(self, arrived: Arrived, stop: threading.Event) -> None:
        self._arrived, self._stop = arrived, stop
        self._own = threading.local()

    def __call__(self, position: int, reply: Reply) -> None:
        self._arrived(position, reply)
        if self._stop.is_set() and not getattr(self._own, "inside", False):
            raise _NobodyWaits

    @contextmanager
    def together(self) -> Iterator[None]:
        """The replies of one pass, all of which are kept; see `reply_store.Keeper`."""
        with getattr(self._arrived, "together", nullcontext)():
            self._own.inside = True
            try:
                yield
            finally:
                self._own.inside = False
        if self._stop.is_set():
            raise _NobodyWaits


async def ask_in_thread(method: Callable[..., Any], requests: Sequence[Request], arrived: Arrived) -> Any:
    """What a backend's method gives for these requests, while the event loop goes on.

    Where the caller is cancelled (by Ctrl-C, too), the backend is stopped as soon as it has told of its next
    reply, which is kept. One that tells of none is not waited for: its thread does not hold the process.

    Args:
        method: of a plain backend.
        requests: put to it.
        arrived: told of each reply as it arrives.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    stop = threading.Event()
    context = contextvars.copy_context()

    def work() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = context.run(ask, method, requests, _Relay(arrived, stop)), None
        except BaseException as error:  # noqa: BLE001 - the caller raises it again
            outcome = None, error
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(_set, done, outcome)

    threading.Thread(target=work, name="limrank-backend", daemon=True).start()
    try:
        answer, problem = await asyncio.shield(done)
    except asyncio.CancelledError:
        stop.set()
        if tells_of_replies(method):
            await asyncio.wait([done])
        raise
    if isinstance(problem, StopIteration):  # which no coroutine can raise
        raise RuntimeError(f"a backend raised {problem!r}") from problem
    if problem is not None:
        raise problem
    return answer


def _set(future: asyncio.Future[Any], outcome: object) -> None:
    if not future.done():
        future.set_result(outcome)
