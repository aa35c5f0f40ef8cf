"""Steps many programs in lockstep, and the one place where sync meets async.

A program yields requests and receives replies. `together` merges many programs into one whose requests
are everybody's, so that even sequential schedules fill a batch. `on` addresses a program's requests to a
backend. `run` and `arun` put addressed requests to their backends; what happens before and after (the
store, repeated requests, accounting) is written once, in `_steps`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from limrank_plugins.backends.asking import ask, check_count, repeated
from limrank_plugins.backends.in_thread import ask_in_thread
from limrank_plugins.backends.loading_time import loading_seconds
from limrank_plugins.backends.protocols import Arrived, Backend, Program, Reply, Request
from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.lockstep import forgetting
from limrank_plugins.readouts.lockstep import together as together  # driver.together is its public name
from limrank_plugins.readouts.pointwise import judge_each
from limrank_plugins.recipes import Recipe
from limrank_plugins.reply_store import ReplyStore
from limrank_plugins.reply_store import To as To  # driver.To is its public name
from limrank_plugins.store import Store
from limrank_plugins.ties import in_input_order
from limrank_plugins.verdicts import GroupVerdict, Outcome, Scores

T = TypeVar("T")


class Batch(NamedTuple):
    """Requests of one kind to one backend, and who is told of each reply as it arrives."""

    backend: Backend
    method: str
    requests: list[Request]
    arrived: Arrived


Addressed = Generator[list[To], list[Reply], T]
"""A program whose requests say which backend they are for."""

_Key = tuple[int, Request]


def on(backend: Backend, program: Program[T]) -> Addressed[T]:
    """The program, all of its requests put to this backend."""
    try:
        requests = next(program)
        while True:
            replies = yield [To(backend, request) for request in requests]
            requests = program.send(replies)
    except StopIteration as finished:
        result: T = finished.value
        return result


def judge(
    recipe: Recipe,
    template: Template | None,
    settings: Settings,
    query: Query,
    documents: Sequence[Document],
) -> Program[Outcome]:
    """One query's program: the recipe's schedule, its groups read by the recipe's readout."""
    if recipe.prepare is not None:
        documents = recipe.prepare(documents)
    if recipe.readout is None or recipe.schedule is None:
        raise TypeError(f"recipe {recipe.name!r} is made of others, which are judged one by one")
    readout = recipe.readout

    def ask(some: Sequence[Document]) -> Program[GroupVerdict]:
        return readout.ask(query, some, template, settings)

    plan = recipe.schedule(len(documents))
    verdicts: list[Verdict | None] = [None] * len(documents)
    try:
        groups = next(plan)
        while True:
            asked = [i for group in groups for i in group]
            if getattr(readout, "is_pointwise", False):
                judged = yield from judge_each(ask, [documents[i] for i in asked])
                each = iter(judged)
                answers: list[GroupVerdict] = [Scores(tuple(islice(each, len(group)))) for group in groups]
            else:
                answers = yield from together(
                    [
                        forgetting(ask([documents[i] for i in group]), partial(_has_failure, len(group)))
                        for group in groups
                    ]
                )
                judged = [
                    verdict
                    for group, answer in zip(groups, answers, strict=True)
                    for verdict in answer.verdicts(len(group))
                ]
            for i, verdict in zip(asked, judged, strict=True):
                verdicts[i] = _merged(verdicts[i], verdict)
            groups = plan.send(answers)
    except StopIteration as finished:
        # A document no group was about (one document under a method that only orders) has no failure.
        order = None if finished.value is None else in_input_order(finished.value, documents)
        return Outcome(tuple(_with_words_cut(template, documents, verdicts)), order)


def _with_words_cut(
    template: Template | None, documents: Sequence[Document], verdicts: Sequence[Verdict | None]
) -> list[Verdict]:
    """The verdicts, with what never came into a prompt, so that no backend could count it."""
    judged = [verdict if verdict is not None else Verdict(None) for verdict in verdicts]
    if template is None or template.passage.limit is None:
        return judged
    cut = [
        0 if v is None else template.passage.words_cut(d) for v, d in zip(verdicts, documents, strict=True)
    ]
    return [
        replace(verdict, cut_tokens=verdict.cut_tokens + words) if words else verdict
        for verdict, words in zip(judged, cut, strict=True)
    ]


def _has_failure(size: int, answer: GroupVerdict) -> bool:
    return any(verdict.failure is not None for verdict in answer.verdicts(size))


def _merged(before: Verdict | None, now: Verdict) -> Verdict:
    """One verdict of those on a document in one group after another: the last usable one, all of the cost."""
    if before is None:
        return now
    if now.failure is not None and before.failure is None:
        return before.with_cost_of(now)
    return now.with_cost_of(before)


def run(program: Addressed[T], store: Store | None = None) -> T:
    """Drive a program from plain code, whether its backends are plain or async."""
    steps = _steps(program, store)
    try:
        batch = next(steps)
        while True:
            answer = _invoke(batch)
            batch = steps.send(_on_loop(answer) if inspect.isawaitable(answer) else answer)
    except StopIteration as finished:
        result: T = finished.value
        return result


async def arun(program: Addressed[T], store: Store | None = None) -> T:
    """Drive a program from async code; a plain backend does not block the event loop.

    Cancelling it (Ctrl-C does) ends a plain backend at its next reply; what has arrived is in the store.

    Each reply of a served model is committed to the store on the loop, which takes a fraction of a
    millisecond: what was handed to another thread could be lost by a kill.
    """
    steps = _steps(program, store)
    first = True
    replies: Sequence[Reply] = ()
    while True:
        try:
            batch = await asyncio.to_thread(_advance, steps, None if first else replies)
        except _Finished as finished:
            result: T = finished.value
            return result
        first = False
        if not inspect.iscoroutinefunction(getattr(batch.backend, batch.method)):
            answer = await ask_in_thread(getattr(batch.backend, batch.method), batch.requests, batch.arrived)
            replies = await answer if inspect.isawaitable(answer) else answer
            continue
        replies = await _invoke(batch)


class _Finished(Exception):
    """StopIteration cannot leave a thread through a future; this carries its value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def _advance(steps: Generator[Batch, Sequence[Reply], T], replies: Sequence[Reply] | None) -> Batch:
    try:
        return next(steps) if replies is None else steps.send(replies)
    except StopIteration as finished:
        raise _Finished(finished.value) from None


def _steps(program: Addressed[T], store: Store | None) -> Generator[Batch, Sequence[Reply], T]:
    """Everything between a program's requests and the backends' methods; yields one batch at a time."""
    try:
        requests = next(program)
        while True:
            # The same request twice (two documents with one text) is asked once.
            first: dict[_Key, int] = {}  # looked up once a request: a prompt's hash is that of all its text
            places = [first.setdefault(_key(request), position) for position, request in enumerate(requests)]
            replies = yield from _answered([requests[place] for place in first.values()], store)
            known = dict(zip(first.values(), replies, strict=True))
            requests = program.send(
                [
                    known[place] if place == position else repeated(known[place])
                    for position, place in enumerate(places)
                ]
            )
    except StopIteration as finished:
        result: T = finished.value
        return result


def _answered(requests: Sequence[To], store: Store | None) -> Generator[Batch, Sequence[Reply], list[Reply]]:
    """The replies to different requests: the stored ones, and the backends', each stored as it arrives."""
    replies_of = ReplyStore(store)
    known = {place: reply for place, reply in enumerate(replies_of.find(requests)) if reply is not None}
    batches: dict[tuple[int, str], list[int]] = {}
    for place, request in enumerate(requests):
        if place not in known:
            kind = id(request.backend), type(request.request).method
            batches.setdefault(kind, []).append(place)
    for (_, method), places in batches.items():
        part = [requests[place] for place in places]
        backend = part[0].backend
        keeper = replies_of.keeper(part)
        started, loaded = time.perf_counter(), loading_seconds()
        replies = yield Batch(backend, method, [request.request for request in part], keeper)
        # A model that is loaded when it is first asked answers none the slower for it.
        seconds = max(0.0, time.perf_counter() - started - (loading_seconds() - loaded)) / len(part)
        check_count(backend, replies, part)
        for place, reply in zip(places, replies, strict=True):
            known[place] = replace(reply, usage=reply.usage + Usage(calls=1, seconds=seconds))
        replies_of.keep_rest(part, replies, keeper.kept)
    return [known[place] for place in range(len(requests))]


def _key(request: To) -> _Key:
    return id(request.backend), request.request


def _invoke(batch: Batch) -> Any:
    return ask(getattr(batch.backend, batch.method), batch.requests, batch.arrived)


class _LoopThread:
    """One private event loop for plain callers of async backends: works inside notebooks too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._pid != os.getpid():  # a forked child has the loop but not its thread
            self._lock, self._loop, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="limrank-loop", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupted caller must not leave requests running
            raise


_PRIVATE = _LoopThread()


def _on_loop(answer: Awaitable[Sequence[Reply]]) -> Sequence[Reply]:
    async def awaited() -> Sequence[Reply] | BaseException:
        try:
            return await answer
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it again
            return error  # a KeyboardInterrupt or SystemExit that left a task would end the loop's thread

    replies = _PRIVATE.run(awaited())
    if isinstance(replies, BaseException):
        raise replies
    return replies
