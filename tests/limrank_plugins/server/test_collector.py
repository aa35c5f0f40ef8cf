"""Requests of many clients in one call: everybody gets their own answer, whoever hangs up or is wrong."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from serving import LONGEST, QUERY, TEXTS, Gated, GatedRemote, Service, judging, logit, serving

from limrank_plugins import AsyncScriptedBackend, Document, Reranker, ScriptedBackend
from limrank_plugins.errors import BackendError
from limrank_plugins.server import Limits
from limrank_plugins.server.collector import Collector, batches_itself


def requests_of(count: int) -> list[tuple[str, list[str]]]:
    """Of different sizes; many share documents, some share the query."""
    draw = random.Random(7)
    passages = [f"passage {i}" for i in range(40)]
    return [
        (f"query {draw.randrange(count)}", draw.sample(passages, draw.randint(1, 30))) for _ in range(count)
    ]


def check(query: str, texts: list[str], done: httpx.Response) -> None:
    assert done.status_code == 200, done.text
    results = done.json()["results"]
    assert [result["index"] for result in results] == sorted(
        range(len(texts)), key=lambda i: -logit(query, texts[i])
    )
    for result in results:
        assert result["relevance_score"] == logit(query, texts[result["index"]])


def begin(pool: ThreadPoolExecutor, service: Service, *asked: Any) -> list[Future[httpx.Response]]:
    return [pool.submit(service.rerank, query, texts) for query, texts in asked]


def test_fifty_clients_are_ranked_together_and_each_gets_its_own_answer():
    backend, asked = Gated(), requests_of(50)
    with serving(judging(backend)) as service, ThreadPoolExecutor(50) as pool:
        first = begin(pool, service, asked[0])
        assert backend.asked.acquire(timeout=LONGEST)
        others = begin(pool, service, *asked[1:])
        service.wait_for(lambda inside: inside.served["m"].waiting == 49)
        backend.gate.set()
        for (query, texts), done in zip(asked, [*first, *others], strict=True):
            check(query, texts, done.result(LONGEST))
        metrics = service.client.get("/metrics").text
    # The driver asks the same pair once, whoever wants it.
    different = {(query, text) for query, texts in asked[1:] for text in texts}
    assert backend.batches == [len(asked[0][1]), len(different)]
    assert 'limrank_batch_requests_count{model="m"} 2.0' in metrics
    assert 'limrank_batch_requests_sum{model="m"} 50.0' in metrics


@pytest.mark.parametrize("kind", [ScriptedBackend, AsyncScriptedBackend])
def test_everybody_gets_their_own_answer_however_it_is_batched(kind: type[ScriptedBackend]):
    asked = requests_of(50)
    limits = Limits(batch_characters=2_000)
    with serving(judging(kind(score_pairs=logit)), limits=limits) as service, ThreadPoolExecutor(50) as pool:
        for (query, texts), done in zip(asked, begin(pool, service, *asked), strict=True):
            check(query, texts, done.result(LONGEST))


def test_a_batch_takes_no_more_than_it_may():
    backend = Gated()
    one = len("q") + len("a")
    asked = [("q", [f"{i}"]) for i in range(7)]
    limits = Limits(batch_characters=3 * one)
    with serving(judging(backend), limits=limits) as service, ThreadPoolExecutor(7) as pool:
        done = begin(pool, service, asked[0])
        assert backend.asked.acquire(timeout=LONGEST)
        done += begin(pool, service, *asked[1:])
        service.wait_for(lambda inside: inside.served["m"].waiting == 6)
        backend.gate.set()
        for (query, texts), answer in zip(asked, done, strict=True):
            check(query, texts, answer.result(LONGEST))
    assert backend.batches == [1, 3, 3]


def test_what_is_behind_a_server_goes_straight_on():
    backend = GatedRemote()
    assert batches_itself(judging(backend))
    assert not batches_itself(judging())
    with serving(judging(backend)) as service, ThreadPoolExecutor(3) as pool:
        done = begin(pool, service, *[("q", [f"{i}", "b"]) for i in range(3)])
        for _ in range(3):  # all of them are asked at a time, none waits for another
            assert backend.asked.acquire(timeout=LONGEST)
        backend.open()
        for i, answer in enumerate(done):
            check("q", [f"{i}", "b"], answer.result(LONGEST))
    assert backend.calls == [2, 2, 2]


def test_one_request_that_ends_in_an_error_takes_no_other_with_it():
    """The call for all raises; each is then asked about alone."""

    def script(query: str, passage: str) -> float:
        if passage == "breaks":
            raise BackendError("the model broke on this one")
        return logit(query, passage)

    class Breaking(Gated):
        def __init__(self) -> None:
            super().__init__()
            self._scripts["score_pairs"] = script

    backend = Breaking()
    asked = [("q", ["first"]), ("q", ["a", "b"]), ("q", ["c", "breaks"]), ("q", ["d"])]
    with serving(judging(backend)) as service, ThreadPoolExecutor(4) as pool:
        done = begin(pool, service, asked[0])
        assert backend.asked.acquire(timeout=LONGEST)
        done += begin(pool, service, *asked[1:])
        service.wait_for(lambda inside: inside.served["m"].waiting == 3)
        backend.gate.set()
        answers = [future.result(LONGEST) for future in done]
    for i in (0, 1, 3):
        check(*asked[i], answers[i])
    assert answers[2].status_code == 502
    assert answers[2].json() == {"detail": "the model broke on this one"}


# ---- clients that hang up -----------------------------------------------------------------------


def hang_up(service: Service, body: bytes) -> socket.socket:
    """A connection whose request was sent whole; to be closed by the caller."""
    host, port = service.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=LONGEST)
    connection.sendall(
        b"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return connection


BODY = b'{"query": "q", "documents": ["a", "b"]}'


def test_a_client_that_hangs_up_stops_its_work():
    backend = GatedRemote()
    with serving(judging(backend)) as service:
        with hang_up(service, BODY):
            assert backend.asked.acquire(timeout=LONGEST)
        assert backend.cancelled.acquire(timeout=LONGEST)
        service.wait_for(lambda inside: inside.gate.under_way == 0)
        assert 'limrank_requests_total{status="499"} 1.0' in service.client.get("/metrics").text


def test_a_client_that_hangs_up_while_it_waits_is_never_asked_about():
    backend = Gated()
    with serving(judging(backend)) as service, ThreadPoolExecutor(1) as pool:
        (done,) = begin(pool, service, ("q", ["first"]))
        assert backend.asked.acquire(timeout=LONGEST)
        with hang_up(service, BODY):
            service.wait_for(lambda inside: inside.served["m"].waiting == 1)
        service.wait_for(lambda inside: inside.served["m"].waiting == 0)
        backend.gate.set()
        check("q", ["first"], done.result(LONGEST))
    assert backend.batches == [1]


def test_others_of_its_batch_are_answered_all_the_same():
    backend = Gated()
    with serving(judging(backend)) as service, ThreadPoolExecutor(2) as pool:
        done = begin(pool, service, ("q", ["first"]))
        assert backend.asked.acquire(timeout=LONGEST)
        with hang_up(service, BODY):
            service.wait_for(lambda inside: inside.served["m"].waiting == 1)
            done += begin(pool, service, (QUERY, TEXTS))
            service.wait_for(lambda inside: inside.served["m"].waiting == 2)
            backend.gate.set()
            check("q", ["first"], done[0].result(LONGEST))
        check(QUERY, TEXTS, done[1].result(LONGEST))


# ---- the collector alone ------------------------------------------------------------------------


class Waiting(Reranker):
    """Ranks when it is told to; remembers what became of its calls."""

    def __init__(self) -> None:
        super().__init__("cross-encoder", backend=ScriptedBackend(score_pairs=logit))
        self.go = asyncio.Event()
        self.sizes: list[int] = []
        self.cancelled = 0

    async def arank_many(self, jobs: Any, **cut: Any) -> Any:
        jobs = list(jobs)
        self.sizes.append(len(jobs))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await super().arank_many(jobs, **cut)


def documents(*texts: str) -> Sequence[Document]:
    return [Document(text) for text in texts]


async def asking(collector: Collector, count: int) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(collector.rank("q", documents(f"{i}"))) for i in range(count)]
    while not getattr(collector.reranker, "sizes", None):
        await asyncio.sleep(0)
    return tasks


async def test_work_that_nobody_waits_for_any_more_is_stopped_and_the_next_batch_begins():
    reranker = Waiting()
    collector = Collector(reranker, Limits())
    tasks = await asking(collector, 3)
    assert reranker.sizes == [3]
    for task in tasks[:2]:
        task.cancel()
    await asyncio.gather(*tasks[:2], return_exceptions=True)
    assert reranker.cancelled == 0
    late = asyncio.create_task(collector.rank("q", documents("late")))
    tasks[2].cancel()
    reranker.go.set()
    assert (await late)[0].score == logit("q", "late")
    assert (reranker.sizes, reranker.cancelled) == ([3, 1], 1)
    assert collector.waiting == 0


async def test_one_that_stays_gets_its_answer():
    reranker = Waiting()
    tasks = await asking(Collector(reranker, Limits()), 3)
    tasks[0].cancel()
    tasks[2].cancel()
    reranker.go.set()
    assert (await tasks[1])[0].score == logit("q", "1")
    assert reranker.cancelled == 0


async def test_it_works_again_after_it_had_nothing_to_do():
    collector = Collector(judging(), Limits(batch_seconds=0))
    for text in ("a", "b", "c"):
        assert (await collector.rank("q", documents(text)))[0].score == logit("q", text)
