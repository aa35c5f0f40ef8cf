"""Requests of many clients ranked together: the first one waits a moment for others, then all go in one call.

While a batch is ranked, what arrives makes up the next one, so that a model on this machine is always asked
as much at a time as there is to ask. A model behind a server batches by itself: its requests go straight on.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass, field

from limrank_plugins.backends.protocols import Backend
from limrank_plugins.data import Document, Ranking
from limrank_plugins.failure_log import told_by_caller
from limrank_plugins.reranker import Reranker
from limrank_plugins.server.limits import Limits

_METHODS = ("read_labels", "generate", "encode", "score_pairs", "classify", "likelihood", "attend")


@dataclass(eq=False)
class _Job:
    """One list to be ranked, and who waits for it."""

    query: str
    documents: Sequence[Document]
    arrived: float
    answer: asyncio.Future[Ranking] = field(repr=False)

    @property
    def characters(self) -> int:
        return sum(len(self.query) + len(document.passage) for document in self.documents)


class Collector:
    """Ranks lists for many callers of one event loop.

    Args:
        reranker: asked by one batch at a time, unless its model is behind a server.
        limits: how long a batch is filled, and how far.
        began: called with the number of lists in each batch.
    """

    def __init__(
        self, reranker: Reranker, limits: Limits, began: Callable[[int], None] = lambda size: None
    ) -> None:
        self.reranker = reranker
        self.passes_through = batches_itself(reranker)
        self._limits = limits
        self._began = began
        self._waiting: deque[_Job] = deque()
        self._running: Sequence[_Job] = ()
        self._call: asyncio.Task[list[Ranking]] | None = None
        self._full = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many lists wait for the next batch."""
        return len(self._waiting)

    async def rank(self, query: str, documents: Sequence[Document]) -> Ranking:
        """The ranking of one list; cancelled, nothing more is asked for it alone.

        Raises:
            LimRankError: as for `Reranker.rank`.
        """
        loop = asyncio.get_running_loop()
        job = _Job(query, documents, loop.time(), loop.create_future())
        if self.passes_through:
            self._began(1)
            return (await self._ranked([job]))[0]
        self._waiting.append(job)
        self._full.set()
        if self._runner is None or self._runner.done():
            # No caller's context: the batch is everybody's.
            self._runner = loop.create_task(self._run(), context=Context())
        try:
            return await job.answer
        finally:
            if not job.answer.done() or job.answer.cancelled():
                self._leave(job)

    def _leave(self, job: _Job) -> None:
        job.answer.cancel()
        if job in self._waiting:
            self._waiting.remove(job)
        elif self._call is not None and all(other.answer.done() for other in self._running):
            self._call.cancel()

    async def _run(self) -> None:
        while self._waiting:
            await self._fill()
            if batch := self._taken():
                self._began(len(batch))
                await self._answer(batch)

    async def _fill(self) -> None:
        """Until the batch is full, or its first list has waited long enough."""
        loop = asyncio.get_running_loop()
        while self._waiting and sum(job.characters for job in self._waiting) < self._limits.batch_characters:
            left = self._waiting[0].arrived + self._limits.batch_seconds - loop.time()
            if left <= 0:
                return
            self._full.clear()
            try:
                async with asyncio.timeout(left):
                    await self._full.wait()
            except TimeoutError:
                return

    def _taken(self) -> list[_Job]:
        batch: list[_Job] = []
        characters = 0
        while self._waiting and (not batch or characters < self._limits.batch_characters):
            batch.append(self._waiting.popleft())
            characters += batch[-1].characters
        return batch

    async def _answer(self, batch: Sequence[_Job]) -> None:
        """Answer each list; where the call for all of them fails, each is asked about alone."""
        self._running = batch
        self._call = asyncio.create_task(self._ranked(batch))
        try:
            rankings = await self._call
        except asyncio.CancelledError:
            runner = asyncio.current_task()
            if runner is not None and runner.cancelling():
                raise
            return  # nobody waits for any of them
        except Exception as error:  # noqa: BLE001 - it is raised again where the list came from
            if len(batch) == 1:
                _fail(batch[0], error)
                return
        else:
            for job, ranking in zip(batch, rankings, strict=True):
                if not job.answer.done():
                    job.answer.set_result(ranking)
            return
        finally:
            self._running, self._call = (), None
        for job in batch:
            if not job.answer.done():
                await self._answer([job])

    async def _ranked(self, batch: Sequence[_Job]) -> list[Ranking]:
        with told_by_caller():
            return await self.reranker.arank_many([(job.query, job.documents) for job in batch])


def batches_itself(reranker: Reranker) -> bool:
    """Whether all that it asks is behind a server, which batches what many callers ask."""
    return all(_is_served(backend) for backend in backends_of(reranker))


def backends_of(reranker: Reranker) -> Iterator[Backend]:
    """The backends that it asks, those of its parts where it is made of others."""
    for part in reranker.parts:
        yield from backends_of(part)
    if not reranker.parts:
        yield reranker.backend


def _is_served(backend: Backend) -> bool:
    methods = [method for name in _METHODS if (method := getattr(backend, name, None)) is not None]
    return all(inspect.iscoroutinefunction(method) for method in methods)


def _fail(job: _Job, error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)
