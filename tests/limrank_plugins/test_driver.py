"""Lockstep, repeated questions, the store in between, and both sides of async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from scripts import full_backend, reranker

from limrank_plugins import Reranker, Store
from limrank_plugins.backends.asking import ask
from limrank_plugins.backends.counting import note
from limrank_plugins.backends.protocols import (
    Encode,
    Generate,
    Generated,
    LabelReading,
    Program,
    ReadLabels,
    Reply,
)
from limrank_plugins.data import Usage, Verdict
from limrank_plugins.driver import arun, on, run, together
from limrank_plugins.errors import BackendError, CapabilityError, RankingFailed
from limrank_plugins.segments import Prompt, Segment

TEXTS = [f"passage number {i}" for i in range(9)]


def asks(*texts: str) -> Program[list[str]]:
    """Asks for one vector after another, and returns what it asked."""
    for text in texts:
        yield [Encode(text)]
    return list(texts)


def test_programs_of_different_length_run_in_lockstep():
    backend = full_backend()
    assert run(on(backend, together([asks("a", "b", "c"), asks(), asks("d")]))) == [
        ["a", "b", "c"],
        [],
        ["d"],
    ]
    assert backend.batches == [2, 1, 1]
    assert [request.text for request in backend.requests] == ["a", "d", "b", "c"]


def test_the_same_question_is_asked_once_and_counted_as_cached():
    backend = full_backend()
    ranking = Reranker("limrank", backend=backend, reasoning="none").rank("q", ["x", "y", "x", "x"])
    assert len(backend.requests) == 2
    assert (ranking.usage.calls, ranking.usage.cached) == (2, 2)


def test_what_is_in_the_store_is_not_asked_again(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        for recipe, options in (("limrank", {}), ("limrank", {"reasoning": "none"}), ("mini", {})):
            first = reranker(recipe, store=store, **options).rank("q", TEXTS)
            backend = full_backend()
            again = Reranker(recipe, backend=backend, store=store, **options).rank("q", TEXTS)
            assert backend.requests == []
            assert again.hits == first.hits
            assert (again.usage.calls, again.usage.generated_tokens) == (0, 0)
            assert again.usage.cached == first.usage.calls


def test_another_model_another_query_or_another_seed_is_another_answer(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:

        def calls(query: str = "q", identity: str = "m", **options: object) -> int:
            backend = full_backend(identity=identity)
            Reranker("limrank", backend=backend, store=store, samples=2, **options).rank(query, TEXTS[:2])
            return len(backend.requests)

        assert calls() > 0
        assert calls() == 0
        assert calls(query="another") > 0
        assert calls(identity="another") > 0
        assert calls(seed=1) > 0
        assert calls(temperature=0.9) > 0
        assert calls(max_reasoning_tokens=7) > 0
        assert calls(instruction="bright") > 0
        assert calls() == 0


def test_a_failure_is_not_stored(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        broken = full_backend(read_labels=lambda p: (float("nan"), 0.0))
        from limrank_plugins import ScriptedFailure

        def out(prompt: object) -> list[float]:
            raise ScriptedFailure("out")

        broken = full_backend(read_labels=out)
        assert (
            len(Reranker("limrank", backend=broken, reasoning="none", store=store).rank("q", ["a"]).failures)
            == 1
        )
        assert reranker(reasoning="none", store=store).rank("q", ["a"]).failures == ()


class Waiting:
    """An async backend whose answers come only once somebody else has run on the same loop."""

    name = "waiting"
    identity = "waiting"

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def read_labels(self, requests: list[ReadLabels]) -> list[LabelReading]:
        await self.released.wait()
        return [LabelReading((1.0, 0.0)) for _ in requests]


async def test_an_async_backend_does_not_block_the_loop():
    backend = Waiting()
    ranked = asyncio.create_task(Reranker("limrank", backend=backend, reasoning="none").arank("q", ["a"]))
    asyncio.get_running_loop().call_later(0, backend.released.set)
    assert (await asyncio.wait_for(ranked, 60)).ids == ["0"]


class Blocking:
    """A plain backend that can go on only if the event loop still turns while it works."""

    name = "blocking"
    identity = "blocking"

    def __init__(self) -> None:
        self.loop_turned = threading.Event()
        self.asked = threading.Event()

    def read_labels(self, requests: list[ReadLabels]) -> list[LabelReading]:
        self.asked.set()
        if not self.loop_turned.wait(60):
            raise AssertionError("the event loop was blocked")
        return [LabelReading((1.0, 0.0)) for _ in requests]


async def test_a_plain_backend_does_not_block_the_loop():
    backend = Blocking()
    ranked = asyncio.create_task(Reranker("limrank", backend=backend, reasoning="none").arank("q", ["a"]))
    while not backend.asked.is_set():
        await asyncio.sleep(0)
    backend.loop_turned.set()
    assert (await ranked).ids == ["0"]


async def test_plain_calls_work_inside_a_running_loop_as_in_a_notebook():
    made = reranker(asynchronous=True)
    assert made.rank("q", TEXTS).hits == reranker().rank("q", TEXTS).hits


async def test_a_cancelled_call_stops_what_it_started():
    class Slow:
        name = "slow"
        identity = "slow"
        started = asyncio.Event()
        stopped = asyncio.Event()

        async def read_labels(self, requests: list[ReadLabels]) -> list[LabelReading]:
            self.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()
            raise AssertionError

    backend = Slow()
    ranked = asyncio.create_task(Reranker("limrank", backend=backend, reasoning="none").arank("q", ["a"]))
    await backend.started.wait()
    ranked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ranked
    await asyncio.wait_for(backend.stopped.wait(), 60)


def test_errors_of_a_backend_reach_the_caller_on_both_paths():
    class Broken:
        name = "broken"
        identity = "broken"

        def read_labels(self, requests: list[ReadLabels]) -> list[LabelReading]:
            raise RuntimeError("out of memory")

    made = Reranker("limrank", backend=Broken(), reasoning="none")
    with pytest.raises(RuntimeError, match="out of memory"):
        made.rank("q", ["a"])
    with pytest.raises(RuntimeError, match="out of memory"):
        asyncio.run(made.arank("q", ["a"]))


def test_a_backend_that_loses_answers_is_found_out():
    class Losing:
        name = "losing"
        identity = "losing"

        def read_labels(self, requests: list[ReadLabels]) -> list[LabelReading]:
            return []

    with pytest.raises(BackendError, match="0 replies to 2"):
        Reranker("limrank", backend=Losing(), reasoning="none").rank("q", ["a", "b"])


def test_a_backend_that_cannot_be_asked_is_found_out_at_once():
    from limrank_plugins import ScriptedBackend

    with pytest.raises(CapabilityError, match=r"limrank.*scripted.*transformers"):
        Reranker("limrank", backend=ScriptedBackend(encode=lambda t, r: [1.0]))
    with pytest.raises(CapabilityError, match=r"mini.*encoder"):
        Reranker("mini", backend=ScriptedBackend(read_labels=lambda p: (1.0, 0.0)))


def test_on_failure_raise():
    with pytest.raises(RankingFailed, match="'1'"):
        Reranker(
            "limrank",
            backend=full_backend(read_labels=lambda p: (float("nan") if "bad" in p.text else 1.0, 0.0)),
            reasoning="none",
            on_failure="raise",
        ).rank("q", ["good", "bad"])


async def test_arun_and_run_return_the_same():
    assert await arun(on(full_backend(), together([asks("a"), asks("b", "c")]))) == [["a"], ["b", "c"]]
    assert await arun(on(full_backend(), together([]))) == []


def test_seconds_and_tokens_add_up():
    ranking = reranker().rank("q", TEXTS)
    assert ranking.usage.seconds > 0
    assert ranking.usage.generated_tokens > 0
    assert isinstance(Verdict(None).usage.calls, int)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_inside_an_async_backend_leaves_the_private_loop_alive(kind: type[BaseException]):
    class Interrupted:
        name = identity = "interrupted"

        async def read_labels(self, requests: list[ReadLabels]) -> list[LabelReading]:
            raise kind

    with pytest.raises(kind):
        Reranker("limrank", backend=Interrupted(), reasoning="none").rank("q", TEXTS)
    ranking = reranker("limrank", asynchronous=True, reasoning="none").rank("q", TEXTS)
    assert len(ranking.ids) == len(TEXTS)


class Noticing:
    """Neutralises a marker of every request, deep inside."""

    name = identity = "noticing"

    def generate(self, requests: Sequence[Generate]) -> list[Generated]:
        for _ in requests:
            note(Usage(neutralised=1))
        return [Generated(request.prompt.text, "end") for request in requests]


async def test_what_a_backend_notices_on_the_way_is_in_the_usage():
    def program() -> Program[list[Reply]]:
        return (yield [Generate(Prompt((Segment(text),)), (), max_tokens=1) for text in "abc"])

    backend = Noticing()
    for replies in (run(on(backend, program())), await arun(on(backend, program()))):
        assert sum((reply.usage for reply in replies), Usage()).neutralised == 3
    assert [reply.usage.neutralised for reply in ask(backend.generate, [], lambda i, reply: None)] == []
