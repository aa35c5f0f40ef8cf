"""Steps many programs in lockstep, and the one place where sync meets async.

A program yields questions and receives answers. `together` merges many programs into one whose
questions are everybody's, so that even sequential schedules fill a batch. `run` and `arun` put the
questions to a backend; what happens before and after (the store, repeated questions, accounting)
is written once, in `_steps`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from limrank_plugins.backends.protocols import (
    Backend,
    Failed,
    Program,
    Reply,
    Request,
    pack_reply,
    repeated,
    request_key,
    unpack_reply,
)
from limrank_plugins.data import Document, Judgement, Query, Usage
from limrank_plugins.errors import BackendError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.lockstep import together as together  # driver.together is its public name
from limrank_plugins.recipes import Recipe
from limrank_plugins.store import Store

T = TypeVar("T")
Batch = tuple[str, list[Request]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program found out.

    Attributes:
        judgements: one per document, in input order.
        order: input positions, best first, where a schedule made an order; None: sort the scores.
    """

    judgements: tuple[Judgement, ...]
    order: list[int] | None = None


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
    plan = recipe.schedule(len(documents))
    said: list[Judgement | None] = [None] * len(documents)
    try:
        groups = next(plan)
        while True:
            asked = [
                recipe.readout.ask(query, [documents[i] for i in group], template, settings)
                for group in groups
            ]
            answers = yield from together(asked)
            for group, answer in zip(groups, answers, strict=True):
                for i, judgement in zip(group, answer.judgements(len(group)), strict=True):
                    said[i] = _merged(said[i], judgement)
            groups = plan.send(answers)
    except StopIteration as finished:
        # A document no group was about (one document under a method that only orders) has no failure.
        order = None if finished.value is None else _twins_in_input_order(finished.value, documents)
        return Outcome(tuple(j if j is not None else Judgement(None) for j in said), order)


def _twins_in_input_order(order: list[int], documents: Sequence[Document]) -> list[int]:
    """Documents that read the same are a tie, however a model was made to tell them apart."""
    members: dict[tuple[str, float | None], list[int]] = {}
    for i in order:
        members.setdefault((documents[i].passage, documents[i].prior), []).append(i)
    queues = {key: iter(sorted(twins)) for key, twins in members.items()}
    return [next(queues[(documents[i].passage, documents[i].prior)]) for i in order]


def _merged(before: Judgement | None, now: Judgement) -> Judgement:
    """What was said about a document in one group after another: the last answer, all of the cost."""
    if before is None:
        return now
    last = before if now.failure is not None and before.failure is None else now
    return replace(
        last,
        cut_tokens=max(before.cut_tokens, now.cut_tokens),
        repairs=before.repairs + now.repairs,
        usage=before.usage + now.usage,
    )


def run(program: Program[T], backend: Backend, store: Store | None = None) -> T:
    """Drive a program from plain code, whether the backend is plain or async."""
    steps = _steps(program, backend, store)
    try:
        batch = next(steps)
        while True:
            answer = _invoke(backend, batch)
            batch = steps.send(_on_loop(answer) if inspect.isawaitable(answer) else answer)
    except StopIteration as finished:
        result: T = finished.value
        return result


async def arun(program: Program[T], backend: Backend, store: Store | None = None) -> T:
    """Drive a program from async code; neither a plain backend nor the store blocks the event loop."""
    steps = _steps(program, backend, store)
    first = True
    replies: Sequence[Reply] = ()
    while True:
        try:
            batch = await asyncio.to_thread(_advance, steps, None if first else replies)
        except _Finished as finished:
            result: T = finished.value
            return result
        first = False
        if inspect.iscoroutinefunction(getattr(backend, batch[0])):
            answer = _invoke(backend, batch)
        else:
            answer = await asyncio.to_thread(_invoke, backend, batch)
        replies = await answer if inspect.isawaitable(answer) else answer


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


def _steps(
    program: Program[T], backend: Backend, store: Store | None
) -> Generator[Batch, Sequence[Reply], T]:
    """Everything between a program's questions and a backend's methods; yields one batch per method."""
    try:
        requests = next(program)
        while True:
            # The same question twice (two documents with one text) is asked once.
            first: dict[Request, int] = {}
            for position, request in enumerate(requests):
                first.setdefault(request, position)
            known: dict[Request, Reply] = {}
            keys = {request: request_key(backend.identity, request) for request in first} if store else {}
            if store is not None:
                stored = store.get_many(list(keys.values()))
                known = {r: unpack_reply(r, stored[key]) for r, key in keys.items() if key in stored}
            asked = [request for request in first if request not in known]
            for method in dict.fromkeys(type(request).method for request in asked):
                batch = [request for request in asked if type(request).method == method]
                started = time.perf_counter()
                replies = yield method, batch
                seconds = (time.perf_counter() - started) / len(batch)
                if len(replies) != len(batch):
                    raise BackendError(
                        f"backend {backend.name!r} gave {len(replies)} answers to {len(batch)} questions"
                    )
                for request, reply in zip(batch, replies, strict=True):
                    spent = reply.usage + Usage(calls=1, seconds=seconds)
                    known[request] = replace(reply, usage=spent)
                if store is not None:
                    fresh = [(keys[r], r) for r in batch if not isinstance(known[r], Failed)]
                    store.put_many([(key, pack_reply(known[r])) for key, r in fresh])
            requests = program.send(
                [
                    known[request] if first[request] == position else repeated(known[request])
                    for position, request in enumerate(requests)
                ]
            )
    except StopIteration as finished:
        result: T = finished.value
        return result


def _invoke(backend: Backend, batch: Batch) -> Any:
    method, requests = batch
    return getattr(backend, method)(requests)


class _LoopThread:
    """One private event loop for plain callers of async backends: works inside notebooks too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, Sequence[Reply]]) -> Sequence[Reply]:
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
    async def awaited() -> Sequence[Reply]:
        return await answer

    return _PRIVATE.run(awaited())
