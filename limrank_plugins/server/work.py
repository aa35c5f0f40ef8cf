"""Work for a client that may hang up, in the time that it may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from limrank_plugins.server.refusals import too_late

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]


class ClientGone(Exception):
    """The client hung up: nobody reads an answer."""


async def done_for(client: Receive, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """What the work gives; it is cancelled when the client hangs up, or time is up.

    Args:
        client: gives the next message of a client whose whole request was read.
        work: what is done for it.
        seconds: how long it may take.

    Raises:
        ClientGone: it hung up.
        Refusal: 503 where time is up.
    """
    async with working(client, work, seconds) as task:
        return await task


@asynccontextmanager
async def working(
    client: Receive, work: Coroutine[Any, Any, T], seconds: float
) -> AsyncIterator[asyncio.Task[T]]:
    """The work as a task, to be awaited in the block; errors as for `done_for`."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_hung_up(client))
    has_gone = False

    def stop(_: asyncio.Task[None]) -> None:
        nonlocal has_gone
        if not gone.cancelled():
            has_gone = True
            task.cancel()

    gone.add_done_callback(stop)
    try:
        async with asyncio.timeout(seconds):
            yield task
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        if not has_gone:
            raise
    else:
        return
    finally:
        gone.remove_done_callback(stop)
        gone.cancel()
        task.cancel()
    if has_gone:
        raise ClientGone
    raise too_late(seconds)


async def _hung_up(client: Receive) -> None:
    while (await client())["type"] != "http.disconnect":
        pass
