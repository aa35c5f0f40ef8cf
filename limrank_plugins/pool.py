"""Runs many programs at once, each at its own pace: it goes on as soon as its own replies are there.

The driver's lockstep waits for the slowest reply of every step, which suits a ranking; a long job over a
served model must not. Requests to a served model are sent one by one as they come; those to a local model
are collected from all programs that are ready and asked in one batch.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from limrank_plugins.backends.asking import ask, check_count
from limrank_plugins.backends.in_thread import ask_in_thread
from limrank_plugins.backends.metered import OverBudget
from limrank_plugins.backends.protocols import Backend, Reply
from limrank_plugins.data import Usage
from limrank_plugins.driver import Addressed
from limrank_plugins.errors import BackendError, InputError, LimRankError
from limrank_plugins.reply_store import ReplyStore, To
from limrank_plugins.store import NotKept, Store

T = TypeVar("T")

_ENDS_THE_RUN = (OverBudget, BackendError, NotKept)
_TURNS = 8
"""Turns of the event loop after which all programs that a batch's replies woke have asked again."""


class Incomplete(LimRankError):
    """Raised by a program that lacks a reply; its message says why. A later run goes on with it."""


@dataclass
class PoolResult(Generic[T]):
    """What became of the programs.

    Attributes:
        results: by position; a program without a result lacks a reply.
        missing: why, by position.
        unasked: the requests whose replies are not in the store, by key, where nobody was asked.
        stopped: why the run ended before all programs did, or None.
    """

    results: dict[int, T] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    unasked: dict[str, To] = field(default_factory=dict)
    stopped: str | None = None


def run_pool(
    programs: Sequence[Addressed[T]],
    store: Store | None,
    *,
    width: int = 16,
    offline: bool = False,
    finished: Callable[[int, T | None], None] = lambda position, result: None,
) -> PoolResult[T]:
    """`arun_pool` from plain code, on an event loop of its own."""
    return asyncio.run(arun_pool(programs, store, width=width, offline=offline, finished=finished))


async def arun_pool(
    programs: Sequence[Addressed[T]],
    store: Store | None,
    *,
    width: int = 16,
    offline: bool = False,
    finished: Callable[[int, T | None], None] = lambda position, result: None,
) -> PoolResult[T]:
    """Run all programs to their ends, or as far as replies and budget go.

    A budget that ran out, a reply that the store cannot keep, or a problem that concerns every call of a
    backend ends the run: calls under way are finished and stored, and no others are sent.

    Args:
        programs: each yields requests and receives their replies; it may raise `Incomplete`.
        store: replies found in it are not asked for; others are in it the moment they arrive. None: none
            is kept.
        width: programs at a time; each may ask several requests at a time.
        offline: ask nobody; requests whose replies are not in the store are collected in `unasked`.
        finished: told of every program's position and result (None where it lacks a reply); called on the
            event loop, so it must be quick.
    """
    pool: _Pool[T] = _Pool(store, offline)
    waiting = iter(enumerate(programs))

    async def work() -> None:
        for position, program in waiting:
            if pool.outcome.stopped is not None:
                return
            await pool.run(position, program)
            finished(position, pool.outcome.results.get(position))
            await asyncio.sleep(0)  # or a run that finds everything in the store could not be interrupted

    problem: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(programs))):
                group.create_task(work())
    except ExceptionGroup as problems:
        problem = problems.exceptions[0]  # a store that cannot be written, or a defect: any ends the run
    if problem is not None:
        raise problem
    return pool.outcome


class _Pool(Generic[T]):
    def __init__(self, store: Store | None, offline: bool) -> None:
        self.outcome: PoolResult[T] = PoolResult()
        self._replies = ReplyStore(store, must_keep=True)
        self._offline = offline
        self._under_way: dict[bytes, asyncio.Task[Reply]] = {}
        self._batches: dict[tuple[int, str], _Batch] = {}

    async def run(self, position: int, program: Addressed[T]) -> None:
        outcome = self.outcome
        try:
            requests = next(program)
            while True:
                requests = program.send(await self._answered(requests))
        except StopIteration as finished:
            outcome.results[position] = finished.value
        except Incomplete as lacking:
            outcome.missing[position] = str(lacking)
        except InputError as problem:  # this program's requests cannot be asked: a prompt that is too long
            outcome.missing[position] = str(problem)
        except _ENDS_THE_RUN as problem:
            outcome.stopped = outcome.stopped if outcome.stopped is not None else str(problem)
            outcome.missing[position] = str(problem)

    async def _answered(self, requests: Sequence[To]) -> list[Reply]:
        """All replies; calls that others of the step are waiting for are finished and stored."""
        stored = self._replies.find(requests)
        if all(reply is not None for reply in stored):  # no task is made for a run that goes on
            return [reply for reply in stored if reply is not None]
        if self._offline:
            for request, known in zip(requests, stored, strict=True):
                if known is None:
                    self.outcome.unasked[request.key.hex()] = request
            raise Incomplete("a reply is not in the store")
        calls = [
            self._once(request) if known is None else _ready(known)
            for request, known in zip(requests, stored, strict=True)
        ]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        problems = [reply for reply in replies if isinstance(reply, BaseException)]
        for problem in sorted(problems, key=lambda problem: isinstance(problem, _ENDS_THE_RUN)):
            raise problem
        return [reply for reply in replies if not isinstance(reply, BaseException)]

    async def _once(self, request: To) -> Reply:
        """Two programs with one request ask it once."""
        key = request.key
        if key not in self._under_way:
            self._under_way[key] = asyncio.ensure_future(self._call(request))
            self._under_way[key].add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(self._under_way[key])

    async def _call(self, request: To) -> Reply:
        if self.outcome.stopped is not None:
            raise OverBudget(self.outcome.stopped)
        method = getattr(request.backend, type(request.request).method)
        if getattr(request.backend, "is_served", inspect.iscoroutinefunction(method)):
            keeper = self._replies.keeper([request])
            replies = await ask(method, [request.request], keeper)
            check_count(request.backend, replies, [request])
            self._replies.keep_rest([request], replies, keeper.kept)
            reply = replies[0]
        else:
            kind = id(request.backend), type(request.request).method
            batch = self._batches.setdefault(kind, _Batch(request.backend, kind[1], self._replies))
            reply = await batch.add(request)
        counted: Reply = replace(reply, usage=reply.usage + Usage(calls=1))
        return counted


async def _ready(reply: Reply) -> Reply:
    return reply


class _Batch:
    """Collects the requests of all programs that are ready, for a local model."""

    def __init__(self, backend: Backend, method: str, replies: ReplyStore) -> None:
        self._backend, self._method, self._replies = backend, method, replies
        self._waiting: list[tuple[To, asyncio.Future[Reply]]] = []
        self._running: asyncio.Task[None] | None = None

    def add(self, request: To) -> asyncio.Future[Reply]:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._run())
        return future

    async def _run(self) -> None:
        while True:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if not self._waiting:
                return
            waiting, self._waiting = self._waiting, []
            requests = [request for request, _ in waiting]
            keeper = self._replies.keeper(requests)
            method = getattr(self._backend, self._method)
            batch = [request.request for request in requests]
            try:
                is_async = inspect.iscoroutinefunction(method)
                replies = await (ask if is_async else ask_in_thread)(method, batch, keeper)
                check_count(self._backend, replies, batch)
                self._replies.keep_rest(requests, replies, keeper.kept)
            except BaseException as error:
                for _, future in waiting:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), reply in zip(waiting, replies, strict=True):
                if not future.done():
                    future.set_result(reply)
