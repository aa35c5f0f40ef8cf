"""Answers in parts: every document as it is judged, then what a request without `stream` would have got."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from scripts import answer, logits
from servers import LoopbackServer, chat
from serving import LONGEST, QUERY, TEXTS, GatedRemote, judging, serving

from limrank_plugins import AsyncScriptedBackend, Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.server import Limits, guards

MANY = [*TEXTS, "a passage", "another one", "fails", TEXTS[0], "the last one"]


def think(prompt: Any) -> str:
    passage = next(segment.text for segment in prompt.segments if segment.cuttable)
    if passage == "fails":
        raise ScriptedFailure("it fails")
    return f"I thought of {passage}</think>"


def reasoning(kind: type[ScriptedBackend] = ScriptedBackend) -> Reranker:
    return Reranker("limrank", backend=kind(generate=think, read_labels=logits))


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n")[:-1]:
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def without_id(answered: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answered.items() if name != "id"}


@pytest.mark.parametrize("kind", [ScriptedBackend, AsyncScriptedBackend])
def test_each_document_comes_as_it_is_judged_and_then_the_whole_answer(kind: type[ScriptedBackend]):
    with serving(reasoning(kind)) as service:
        plain = service.rerank(documents=MANY, return_documents=True).json()
        streamed = service.rerank(documents=MANY, return_documents=True, stream=True)
        assert streamed.headers["content-type"].startswith("text/event-stream")
        events = events_of(streamed.text)
        cut = events_of(service.rerank(documents=MANY, top_n=2, stream=True).text)[-1]
    assert events[0] == (
        "progress",
        {"finished": 0, "total": 8, "tokens": 0, "seconds": events[0][1]["seconds"]},
    )
    name, whole = events[-1]
    assert name == "answer"
    assert without_id(whole) == without_id(plain)
    results = [data for name, data in events if name == "result"]
    assert sorted(results, key=lambda result: result["index"]) == sorted(
        plain["results"], key=lambda result: result["index"]
    )
    assert [data for name, data in events if name == "failed"] == plain["failed"]
    finished = [data["finished"] for name, data in events if name == "progress"]
    assert finished == sorted(finished)
    assert finished[-1] == 8
    assert [result["index"] for result in cut[1]["results"]] == [r["index"] for r in plain["results"][:2]]


def test_a_list_that_is_judged_together_comes_whole():
    with serving(Reranker("rankgpt", backend=ScriptedBackend(generate=answer))) as service:
        events = events_of(service.rerank(stream=True).text)
        plain = service.rerank().json()
    assert [name for name, _ in events] == ["progress", "answer"]
    assert without_id(events[-1][1]) == without_id(plain)


def test_the_first_comes_while_others_are_still_thought_about():
    gate = threading.Event()

    def wait(prompt: Any) -> str:
        if "the last one" in prompt.text:
            assert gate.wait(LONGEST)
        return think(prompt)

    reranker = Reranker("limrank", backend=ScriptedBackend(generate=wait, read_labels=logits))
    asked = {"query": QUERY, "documents": MANY, "stream": True}
    with serving(reranker) as service, service.client.stream("POST", "/rerank", json=asked) as streamed:
        lines = streamed.iter_lines()
        assert next(line for line in lines if line.startswith("event: result"))
        gate.set()
        assert next(line for line in lines if line == "event: answer")


def test_what_is_wrong_beforehand_is_a_status():
    with serving(reasoning()) as service:
        assert service.rerank(stream=True, model="x").status_code == 404
        assert service.rerank(stream=True, documents=[]).status_code == 422


def test_nothing_judged_or_no_time_is_an_event(monkeypatch: pytest.MonkeyPatch):
    with serving(reasoning()) as service:
        name, data = events_of(service.rerank(documents=["fails"], stream=True).text)[-1]
        assert (name, data["status"]) == ("error", 502)
        assert data["detail"] == "the document could not be judged; the first one, 0: it fails"
    backend = GatedRemote()
    monkeypatch.setattr(guards, "_LAST_SECONDS", LONGEST)
    with serving(judging(backend)) as service, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(service.rerank, stream=True)
        assert backend.asked.acquire(timeout=LONGEST)
        service.pass_time(Limits().seconds)
        name, data = events_of(asked.result(LONGEST).text)[-1]
        assert (name, data["status"]) == ("error", 503)
        assert backend.cancelled.acquire(timeout=LONGEST)


def test_a_client_that_hangs_up_stops_all_of_it():
    backend = GatedRemote()
    asked = {"query": QUERY, "documents": TEXTS, "stream": True}
    with serving(judging(backend)) as service:
        with httpx.Client(base_url=service.url, timeout=LONGEST, trust_env=False) as client:
            with client.stream("POST", "/rerank", json=asked):
                assert backend.asked.acquire(timeout=LONGEST)
        assert backend.cancelled.acquire(timeout=LONGEST)
        service.wait_for(lambda inside: inside.gate.under_way == 0)


@pytest.mark.filterwarnings("ignore::limrank_plugins.errors.LimRankWarning")
def test_a_served_model_is_asked_about_all_documents_at_once():
    def reply(call: Any) -> Any:
        return chat({"true": -0.2, "false": -1.8}, "It does.\n</think>\ntrue")

    with LoopbackServer(reply) as model:
        reranker = Reranker("limrank", "m", "openai", base_url=model.url, api_key="k", server="openai")
        with serving(reranker) as service:
            events = events_of(service.rerank(stream=True).text)
        reranker.close()
    assert [name for name, _ in events].count("result") + [name for name, _ in events].count("failed") == 3
