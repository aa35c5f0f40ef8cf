"""Our own server on loopback in a thread, as uvicorn runs it, and models for it that wait when told to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from scripts import unit
from servers import pass_time

from limrank_plugins import Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.backends.protocols import Arrived, Reply, ScorePair
from limrank_plugins.server import build_app
from limrank_plugins.server.running import RunningServer, listen, url_of

QUERY = "why does milk go lumpy in tea"
TEXTS = ["Bread rises.", "Acid curdles milk.", "Rivers carve valleys."]
LONGEST = 60  # seconds; far above what any step takes
KEPT = 10**9  # seconds, for which a connection is kept that nothing is asked on


class Service:
    """The server as its clients see it, and what stands behind it."""

    def __init__(
        self,
        url: str,
        client: httpx.Client,
        running: uvicorn.Server,
        inside: Any,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.url, self.client, self.running, self.inside = url, client, running, inside
        self._loop = loop

    def rerank(self, query: str = QUERY, documents: Any = TEXTS, **fields: Any) -> httpx.Response:
        return self.client.post("/rerank", json={"query": query, "documents": documents, **fields})

    def wait_for(self, what: Callable[[Any], bool]) -> None:
        """Until it is so: the server is asked again and again, so that it runs meanwhile."""
        for _ in range(20_000):
            if what(self.inside):
                return
            self.client.get("/health")
        raise AssertionError("it never came to that")

    def pass_time(self, seconds: float) -> None:
        """Have so many seconds gone by for the server: its limits of time are reached, and not before."""
        pass_time(self._loop, seconds)


@contextmanager
def serving(rerankers: Mapping[str, Reranker] | Reranker, **options: Any) -> Iterator[Service]:
    """The server, until the block ends; by then all is answered that was accepted."""
    named = {"m": rerankers} if isinstance(rerankers, Reranker) else rerankers
    app = build_app(named, **options)
    listener, started = listen("127.0.0.1", 0), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def begun() -> None:
        loops.append(asyncio.get_running_loop())
        started.set()

    running = RunningServer(app, begun)
    # A client that is busy elsewhere meanwhile would send its next request as its connection ends.
    running.config.timeout_keep_alive = KEPT
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert started.wait(LONGEST)
    url = url_of(listener)
    try:
        with httpx.Client(base_url=url, timeout=LONGEST, trust_env=False) as client:
            yield Service(url, client, running, app.state.rerank_server, loops[0])
    finally:
        running.drain()
        thread.join(LONGEST)
        listener.close()
        assert not thread.is_alive()


def logit(query: str, passage: str) -> float:
    """The score of a pair: no two pairs have the same. A passage that says so fails."""
    if "fails" in passage:
        raise ScriptedFailure(f"the script fails {passage!r}")
    return 8 * unit(f"{query}|{passage}") - 4


def judging(backend: Any = None) -> Reranker:
    """Judges each pair alone."""
    return Reranker("cross-encoder", backend=backend or ScriptedBackend(score_pairs=logit))


class Gated(ScriptedBackend):
    """A model on this machine that answers nothing before the gate is open."""

    def __init__(self) -> None:
        self.asked, self.gate = threading.Semaphore(0), threading.Event()
        super().__init__(score_pairs=logit)

    def _answer(self, requests: Sequence[Any], arrived: Arrived | None = None) -> list[Reply]:
        self.asked.release()
        assert self.gate.wait(LONGEST)
        return super()._answer(requests, arrived)


class GatedRemote:
    """A model behind a server, likewise; remembers which of its calls were cancelled."""

    name = identity = "gated-remote"

    def __init__(self) -> None:
        self.asked, self.cancelled = threading.Semaphore(0), threading.Semaphore(0)
        self.calls: list[int] = []
        self._gates: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._opened = False

    async def score_pairs(self, requests: Sequence[ScorePair]) -> list[Reply]:
        gate = asyncio.Event()
        self._gates.append((asyncio.get_running_loop(), gate))
        self.calls.append(len(requests))
        self.asked.release()
        try:
            if not self._opened:
                await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return ScriptedBackend(score_pairs=logit)._answer(requests)

    def open(self) -> None:
        self._opened = True
        for loop, gate in self._gates:
            loop.call_soon_threadsafe(gate.set)
