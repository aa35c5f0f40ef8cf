"""Served models: how near to the ideal time 100 documents come, and what a call costs this process.

The server is on loopback and answers every call after the same time (`loopback.py`). With so many calls at a
time the documents could be done in `ceil(documents / concurrency)` times that. Ours runs in turn with bare
connections, which say what the machine adds by itself.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from limrank_evals.bench import passages as texts
from limrank_evals.bench.interleaved import Contest, run
from limrank_evals.bench.loopback import Loopback, loopback
from limrank_plugins import Reranker
from limrank_plugins.backends.decisions import DecisionsBackend
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import Backend
from limrank_plugins.backends.rerank_api import RerankAPIBackend
from limrank_plugins.data import Document
from limrank_plugins.errors import BackendError

DOCUMENTS = 100
CONCURRENCY = 32
SECONDS = 0.05
"""From a call to its answer."""
AIM = 1.15
_QUERY = "why does milk curdle in tea"


@dataclass(frozen=True, slots=True)
class Served:
    """What 100 documents took with one backend.

    Attributes:
        name: of the backend.
        milliseconds: by the clock, the median of the rounds.
        ideal_milliseconds: if calls cost nothing but the server's time.
        ratio: the former divided by the latter.
        spread: the highest ratio of a round less the lowest.
        bare_ratio: the same of bare connections, the median of the rounds.
        cpu_milliseconds_per_call: of this process, all threads together, the median.
        connections: that were opened in all rounds together.
        calls: that were made in all of them.
    """

    name: str
    milliseconds: float
    ideal_milliseconds: float
    ratio: float
    spread: float
    bare_ratio: float
    cpu_milliseconds_per_call: float
    connections: int
    calls: int


@dataclass(slots=True)
class _Timed:
    """A way, and what each round of it took: by the clock, and of this process's CPU."""

    work: Callable[[], None]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def __call__(self) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        self.work()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        return np.zeros(0)


def measured(
    rounds: int,
    *,
    documents: int = DOCUMENTS,
    concurrency: int = CONCURRENCY,
    seconds: float = SECONDS,
    names: Sequence[str] | None = None,
) -> Iterator[Served]:
    """Each backend in turn, one call a document.

    Args:
        rounds: that are timed, after one that is not and opens the connections.
        documents: of the query.
        concurrency: calls at a time.
        seconds: from a call to its answer.
        names: of the backends; default: all.
    """
    candidates = list(texts.passages(texts.sentences(), documents))
    ideal = math.ceil(documents / concurrency) * seconds
    with loopback(seconds) as server, loopback(seconds) as other:
        for name in _BACKENDS if names is None else names:
            opened, called = server.connections, server.calls
            backend = _BACKENDS[name](server.url, concurrency)
            ours = _Timed(_ranked(backend, candidates))
            bare = _Timed(partial(_bare, other, candidates, concurrency))
            try:
                run(Contest(name, 1, ours, bare), rounds, time.perf_counter)
            finally:
                backend.close()
            # The first round opens the connections, and is not counted.
            walls, cpus = ours.wall[1:], ours.cpu[1:]
            yield Served(
                name,
                1000 * statistics.median(walls),
                1000 * ideal,
                statistics.median(walls) / ideal,
                (max(walls) - min(walls)) / ideal,
                statistics.median(bare.wall[1:]) / ideal,
                1000 * statistics.median(cpus) / documents,
                server.connections - opened,
                server.calls - called,
            )


def _openai(url: str, concurrency: int) -> Any:
    return OpenAIBackend("m", base_url=url, concurrency=concurrency)


def _rerank_api(url: str, concurrency: int) -> Any:
    return RerankAPIBackend("m", base_url=url, concurrency=concurrency, batch_size=1)


def _decisions(url: str, concurrency: int) -> Any:
    return DecisionsBackend("m", base_url=url, concurrency=concurrency)


def _decisions_of_openai(url: str, concurrency: int) -> Any:
    return DecisionsBackend("m", base_url=url, concurrency=concurrency, dialect="openai")


_BACKENDS: dict[str, Callable[[str, int], Any]] = {
    "openai": _openai,
    "rerank-api": _rerank_api,
    "decisions": _decisions,
    "decisions, dialect openai": _decisions_of_openai,
}


def _ranked(backend: Backend, documents: Sequence[Document]) -> Callable[[], None]:
    if backend.name == "rerank-api":
        reranker = Reranker("rerank-api", backend=backend)
    else:
        reranker = Reranker("limrank", backend=backend, reasoning="none", template="limrank")

    def work() -> None:
        failures = reranker.rank(_QUERY, documents).failures
        if failures:
            raise BackendError(f"the server on loopback was not understood: {failures[0].reason}")

    return work


def _bare(server: Loopback, documents: Sequence[Document], concurrency: int) -> None:
    """One HTTP call a document over so many connections, without any HTTP library."""
    waiting = list(documents)

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while waiting:
            body = json.dumps({"prompt": f"{_QUERY} {waiting.pop().passage}"}).encode("ascii")
            head = f"POST /v1/completions HTTP/1.1\r\nhost: bare\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode("ascii") + body)
            reply = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(reply.rpartition(b"content-length: ")[2]))
        writer.close()
        await writer.wait_closed()

    async def all_workers() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())

    asyncio.run(all_workers())
