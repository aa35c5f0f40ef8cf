"""How `LimRankRerank` runs: seen by observers, on event loops, in threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import (
    NodeWithScore,
    QueryBundle,
)
from llama_index.postprocessor.limrank import LimRankRerank
from scripted_nodes import QUERY, ids, nodes, rerank
from scripts import full_backend

from limrank_plugins import Reranker, ScriptedBackend

# ---- observers --------------------------------------------------------------------------------------


class Legacy(BaseCallbackHandler):
    """Records what the callback manager says."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.starts: list[Any] = []
        self.ends: list[Any] = []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **kwargs):
        self.starts.append((event_type, payload))
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **kwargs):
        self.ends.append((event_type, payload))

    def start_trace(self, trace_id=None):
        """Not recorded."""

    def end_trace(self, trace_id=None, trace_map=None):
        """Not recorded."""


@pytest.mark.parametrize("path", ["_postprocess_nodes", "_apostprocess_nodes"])
async def test_spans_events_and_callbacks(path: str, observed: Any) -> None:
    legacy = Legacy()
    postprocessor = rerank(callback_manager=CallbackManager([legacy]))
    candidates = nodes("bread", "bad", "acid")
    answer = getattr(postprocessor, path)(candidates, QueryBundle(QUERY))
    reranked = await answer if path.startswith("_a") else answer

    start, end = [e for e in observed.events if isinstance(e, ReRankStartEvent | ReRankEndEvent)]
    assert (start.query.query_str, start.nodes, start.top_n) == (QUERY, candidates, 3)
    assert start.model_name == "scripted"
    assert end.nodes == reranked
    assert end.tags["limrank"]["failures"] == 1
    assert end.tags["limrank"]["usage"]["calls"] == 3
    spans = [id_ for id_ in observed.entered if f"LimRankRerank.{path}" in id_]
    assert len(spans) == 1
    assert spans[0] in observed.left
    assert start.span_id == end.span_id == spans[0]

    assert [kind for kind, _ in legacy.starts] == [CBEventType.RERANKING]
    payload = legacy.starts[0][1]
    assert payload[EventPayload.NODES] == candidates
    assert payload[EventPayload.QUERY_STR] == QUERY
    assert (payload[EventPayload.TOP_K], payload[EventPayload.MODEL_NAME]) == (3, "scripted")
    assert legacy.ends == [(CBEventType.RERANKING, {EventPayload.NODES: reranked})]


@pytest.mark.parametrize("path", ["_postprocess_nodes", "_apostprocess_nodes"])
async def test_an_error_ends_what_was_started(path: str, observed: Any) -> None:
    def broken(prompt: Any) -> tuple[float, float]:
        raise RuntimeError("the model is gone")

    legacy = Legacy()
    judge = Reranker("limrank", backend=ScriptedBackend(read_labels=broken), reasoning="none")
    postprocessor = LimRankRerank(reranker=judge, callback_manager=CallbackManager([legacy]))

    async def call() -> None:
        answer = getattr(postprocessor, path)(nodes("a"), QueryBundle(QUERY))
        await answer  # the sync path has raised before

    with pytest.raises(RuntimeError, match="the model is gone"):
        await call()
    names = [type(e).__name__ for e in observed.events]
    assert names == ["ReRankStartEvent", "ReRankEndEvent", "SpanDropEvent"]
    assert observed.events[1].nodes == []
    assert len(observed.dropped) == 1
    assert len(legacy.starts) == len(legacy.ends) == 1
    assert str(legacy.ends[0][1][EventPayload.EXCEPTION]) == "the model is gone"


@pytest.mark.parametrize("candidates", [[], None])
def test_nothing_is_started_that_never_ends(candidates: list[NodeWithScore] | None, observed: Any) -> None:
    if candidates is None:
        with pytest.raises(ValueError, match="Missing query"):
            rerank().postprocess_nodes(nodes("a"))
    else:
        rerank().postprocess_nodes(candidates, query_str=QUERY)
    assert not [e for e in observed.events if isinstance(e, ReRankStartEvent | ReRankEndEvent)]


# ---- async and threads ------------------------------------------------------------------------------


async def test_a_plain_model_does_not_block_the_event_loop(gate_class: Any) -> None:
    gate = gate_class()

    def slow(prompt: Any) -> tuple[float, float]:
        gate.wait()
        return (1.0, 0.0)

    judge = Reranker("limrank", backend=ScriptedBackend(read_labels=slow), reasoning="none")
    reranked = await LimRankRerank(reranker=judge).apostprocess_nodes(nodes("a", "b"), QueryBundle(QUERY))
    assert ids(reranked) == ["n0", "n1"]


async def test_loading_a_model_does_not_block_the_event_loop(
    gate_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gate_class()

    def loads(model: str, **options: Any) -> ScriptedBackend:
        gate.wait()
        return full_backend()

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: loads)
    assert await LimRankRerank().apostprocess_nodes(nodes("a"), QueryBundle(QUERY))


async def test_a_cancelled_ranking_ends_its_events(observed: Any, gate_class: Any) -> None:
    started = asyncio.Event()

    class Waits(ScriptedBackend):
        async def read_labels(self, requests: Any) -> Any:
            started.set()
            await asyncio.Event().wait()

    judge = Reranker("limrank", backend=Waits(), reasoning="none")
    task = asyncio.create_task(
        LimRankRerank(reranker=judge).apostprocess_nodes(nodes("a"), QueryBundle(QUERY))
    )
    await asyncio.wait_for(started.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    names = [type(e).__name__ for e in observed.events]
    assert names[:2] == ["ReRankStartEvent", "ReRankEndEvent"]


def test_many_threads_load_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    meeting = threading.Barrier(2)

    def loads(model: str, **options: Any) -> ScriptedBackend:
        built.append(model)
        # A second one that is loaded at the same time would be met here; alone, nobody comes.
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(1)
        return full_backend()

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: loads)
    postprocessor = LimRankRerank()
    assert built == []  # nothing is loaded before it is used
    together = threading.Barrier(8)

    def ask(i: int) -> list[str]:
        together.wait(20)
        return ids(postprocessor.postprocess_nodes(nodes(*(f"{i} {j}" for j in range(3))), query_str=QUERY))

    with ThreadPoolExecutor(8) as pool:
        reranked = list(pool.map(ask, range(8)))
    assert all(sorted(each) == ["n0", "n1", "n2"] for each in reranked)
    assert built == ["songtingyu/limrank"]


def test_close_releases_what_was_loaded_here(built: list[dict[str, Any]]) -> None:
    postprocessor = LimRankRerank()
    postprocessor.close()  # nothing to release
    for _ in range(2):
        postprocessor.postprocess_nodes(nodes("a"), query_str=QUERY)
    postprocessor.close()
    postprocessor.postprocess_nodes(nodes("a"), query_str=QUERY)
    assert len(built) == 2
