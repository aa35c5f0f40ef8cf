"""One of something per event loop: made there when first needed, closed there when no longer needed.

Connections belong to the event loop they were made on, so a client for them must too. What is kept
is closed when that is asked for, and when its loop is shut down (`asyncio.run` does that); what a
forgotten keeper left on a loop that goes on is closed when the next one comes to that loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Something that is closed on its event loop."""

    async def aclose(self) -> None:
        """Close it."""


T = TypeVar("T", bound=Closable)

# Everything kept anywhere. What is in here cannot be collected as garbage, which would close sockets
# behind their loop's back: it would mistake a later connection with the same descriptor for the dead one.
_OPEN: dict[object, tuple[asyncio.AbstractEventLoop, AsyncGenerator[None, None]]] = {}
_LOCK = threading.Lock()
_LEFT: deque[tuple[asyncio.AbstractEventLoop, AsyncGenerator[None, None]]] = deque()


class PerLoop(Generic[T]):
    """Keeps one per event loop. Safe for threads.

    Args:
        make: makes one; called on the loop. It must not hold this object.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def get(self) -> T:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is not None:
            return kept[0]
        for keeper in _left_on(loop):
            await keeper.aclose()
        if (kept := self._kept.get(loop)) is not None:  # another task made it while this one closed those
            return kept[0]
        value = self._make()
        keeper = _keep(weakref.ref(self), loop, value)
        with _LOCK:
            self._kept[loop] = value, keeper
            for other in [other for other, (its, _) in _OPEN.items() if its.is_closed()]:
                del _OPEN[other]  # closed without having been shut down
            _OPEN[value] = loop, keeper
        await anext(keeper)
        weakref.finalize(self, _LEFT.append, (loop, keeper)).atexit = False
        return value

    async def aclose(self) -> None:
        """Close the running loop's. May be called twice; `get` makes a new one."""
        await self._close(asyncio.get_running_loop())

    def close(self) -> None:
        """Close those of all loops. May be called twice, from any thread."""
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        for loop in list(self._kept):
            if loop is here:
                task = loop.create_task(self._close(loop))
                self._closing.add(task)  # a task nobody holds may be collected before it is done
                task.add_done_callback(self._closing.discard)
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(self._close(loop), loop).result(timeout=10)
            else:
                self._forget(loop)

    async def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        keeper = self._forget(loop)
        if keeper is not None:
            await keeper.aclose()

    def _forget(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None] | None:
        with _LOCK:
            kept = self._kept.pop(loop, None)
        return kept[1] if kept is not None else None


async def _keep(
    owner: weakref.ref[PerLoop[T]], loop: asyncio.AbstractEventLoop, kept: T
) -> AsyncGenerator[None, None]:
    """An asynchronous generator, because a loop that is shut down closes those it has started."""
    try:
        yield
    finally:
        if (holder := owner()) is not None:
            holder._forget(loop)
        try:
            await kept.aclose()
        finally:
            with _LOCK:
                _OPEN.pop(kept, None)


def _left_on(loop: asyncio.AbstractEventLoop) -> list[AsyncGenerator[None, None]]:
    """What was left on this loop. No lock: an entry may be added by garbage collection at any moment."""
    keepers = []
    for _ in range(len(_LEFT)):
        try:
            entry = _LEFT.popleft()
        except IndexError:  # another thread was faster
            break
        if entry[0] is loop:
            keepers.append(entry[1])
        elif not entry[0].is_closed():
            _LEFT.append(entry)
    return keepers
