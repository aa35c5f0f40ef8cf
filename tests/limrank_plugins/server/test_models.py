"""Tiny models of both kinds behind the server: many clients get what one alone gets, and nothing is left."""

from __future__ import annotations

import gc
import itertools
import resource
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'limrank[transformers]'")

import tiny  # noqa: E402
from serve_process import process  # noqa: E402
from serving import LONGEST, QUERY, TEXTS, Service, judging, logit, serving  # noqa: E402

from limrank_plugins import Reranker, ScriptedBackend  # noqa: E402

LONG = "acid curdles milk because the proteins clump together. " * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.build(tmp_path_factory.mktemp("tiny"), "qwen2"))


def local(folder: str, **options: object) -> Reranker:
    return Reranker("limrank", folder, "transformers", template="limrank", device="cpu", **options)


def test_clients_of_a_local_model_get_what_one_alone_gets(folder: str):
    reranker = local(folder, reasoning="none")
    asked = [(f"{QUERY} {i}", [f"{text} {i % 3}" for text in TEXTS[: 1 + i % 3]]) for i in range(12)]
    alone = [reranker.rank(query, texts) for query, texts in asked]
    with serving(reranker) as service, ThreadPoolExecutor(12) as pool:
        answers = [future.result(LONGEST) for future in [pool.submit(service.rerank, *one) for one in asked]]
    for ranking, answer in zip(alone, answers, strict=True):
        found = {result["index"]: result["relevance_score"] for result in answer.json()["results"]}
        assert found == {hit.index: pytest.approx(hit.score, abs=1e-5) for hit in ranking}
    reranker.close()


def test_a_local_model_keeps_to_a_limit_of_tokens(folder: str):
    reranker = local(folder, reasoning="none")
    texts = [LONG + "bread", LONG + "rivers"]
    with serving(reranker) as service:
        whole = service.rerank(documents=texts).json()
        cut = service.rerank(documents=texts, max_tokens_per_doc=20).json()
        again = service.rerank(documents=texts, max_tokens_per_doc=20).json()
    assert whole["usage"]["prompt_tokens"] - cut["usage"]["prompt_tokens"] > 100
    assert "2 of 2 documents were longer than the model reads" in cut["meta"]["warnings"]
    # What differs between them lies behind the limit.
    assert len({result["relevance_score"] for result in cut["results"]}) == 1
    assert cut["results"] == again["results"]
    reranker.close()


def test_a_local_model_reasons_in_parts(folder: str):
    reranker = local(folder, reasoning="full", max_reasoning_tokens=8)
    with serving(reranker) as service:
        events = service.rerank(stream=True).text
        plain = service.rerank().json()
    assert events.count("event: result") + events.count("event: failed") == len(TEXTS)
    assert "event: answer" in events
    assert plain["usage"]["completion_tokens"] > 0
    reranker.close()


# ---- minutes of it ------------------------------------------------------------------------------


def asking_until(service: Service, clients: int, end: Callable[[], bool]) -> int:
    """How many requests were answered; each client's answers are its own."""

    def client(name: int) -> int:
        for number in itertools.count():
            if end():
                return number
            query, texts = (
                f"client {name}, query {number}",
                [f"{name} {number} {i}" for i in range(1 + name % 7)],
            )
            done = service.rerank(query, texts)
            assert done.status_code == 200, done.text
            best = max(range(len(texts)), key=lambda i: logit(query, texts[i]))
            first = done.json()["results"][0]
            assert (first["index"], first["relevance_score"]) == (best, logit(query, texts[best]))
        raise AssertionError

    with ThreadPoolExecutor(clients) as pool:
        return sum(future.result() for future in [pool.submit(client, name) for name in range(clients)])


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_fifty_clients_for_two_minutes():
    with serving(judging(ScriptedBackendWithoutMemory())) as service:
        held = []
        for seconds in (20, 50, 50):
            last = time.monotonic() + seconds
            assert asking_until(service, 50, lambda last=last: time.monotonic() > last) > 50
            gc.collect()
            if not tracemalloc.is_tracing():
                tracemalloc.start()  # from here on: what the first part left is not counted
            held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert service.inside.gate.under_way == service.inside.served["m"].waiting == 0
    assert held[2] - held[1] < 2_000_000


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_fifty_clients_of_a_process_for_two_minutes_until_it_is_told_to_end(folder: str):
    """Who asked before the signal is answered, each with its own scores; who asks after it is told so."""
    asked = [(f"{QUERY} {name}", [f"{text} {name}" for text in TEXTS]) for name in range(50)]
    with closing(local(folder, reasoning="none")) as reranker:
        alone = [{hit.index: hit.score for hit in reranker.rank(*one)} for one in asked]
    ending = threading.Event()

    def client(name: int) -> int:
        query, documents = asked[name]
        with httpx.Client(base_url=server.url, timeout=LONGEST, trust_env=False) as connection:
            for number in itertools.count():
                late = ending.is_set()
                try:
                    done = connection.post("/rerank", json={"query": query, "documents": documents})
                except httpx.TransportError:
                    assert late  # the server had ended
                    return number
                if done.status_code != 200:
                    assert ending.is_set()
                    assert (done.status_code, done.headers["retry-after"]) == (503, "1")
                    return number
                scores = {result["index"]: result["relevance_score"] for result in done.json()["results"]}
                assert scores == {i: pytest.approx(score, abs=1e-5) for i, score in alone[name].items()}
        raise AssertionError

    options = ("--template", "limrank", "--device", "cpu", "--reasoning", "none")
    model = ("--recipe", "limrank", "--model", folder, "--backend", "transformers")
    with process(*model, *options) as server, ThreadPoolExecutor(50) as pool:
        clients = [pool.submit(client, name) for name in range(50)]
        held = []
        try:
            for seconds in (30, 45, 45):
                with suppress(TimeoutError):  # none of them ends by itself
                    wait_for_one(clients, seconds)
                held.append(resident(server.process.pid))
            ending.set()
            code, errors = server.end(signal.SIGTERM)
        finally:
            server.process.kill()  # else the clients of a test that failed would go on
        answered = [future.result(LONGEST) for future in clients]
    assert code == 0, errors
    assert min(answered) > 0
    assert held[2] - held[1] < 20 << 20, held


def wait_for_one(clients: Sequence[Future[int]], seconds: float) -> None:
    """Its error, should one of them fail meanwhile."""
    for future in as_completed(clients, timeout=seconds):
        raise AssertionError(f"a client ended after {future.result()} requests")


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


class ScriptedBackendWithoutMemory(ScriptedBackend):
    """Does not keep what it was asked."""

    def __init__(self) -> None:
        super().__init__(score_pairs=logit)

    def _answer(self, *asked: object) -> list[object]:
        replies = super()._answer(*asked)
        self.requests.clear()
        self.batches.clear()
        return replies
