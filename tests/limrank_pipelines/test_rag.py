"""`RagPipeline`: which stage sees what, what comes back, one logic for plain, async, one and many."""

from __future__ import annotations

import asyncio
import doctest
import threading
from typing import Any

import pytest
from rag_parts import CORPUS, QUESTION, index, parts, relevance
from scripts import full_backend

from limrank_pipelines import RagPipeline, Reader, Rewriter, hybrid, rag, reader
from limrank_plugins import (
    Document,
    Query,
    Reranker,
    ScriptedBackend,
)
from limrank_plugins.errors import InputError, RankingFailed


def summary(answers: Any) -> Any:
    """Everything but what it took."""
    return [
        (
            answer.query,
            answer.text,
            answer.citations,
            answer.passages,
            answer.candidates,
            answer.ranking.ids if answer.ranking else None,
            answer.rewritten.query if answer.rewritten else None,
            answer.abstained,
            answer.failures,
            answer.repairs,
            sorted(answer.timings),
        )
        for answer in answers
    ]


@pytest.mark.parametrize("module", [rag, reader, hybrid])
def test_the_examples_in_the_documentation(module: Any):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_stage_gets_what_it_should():
    stages = parts()
    searched: list[tuple[str, int]] = []
    first = index()

    def search(query: Query, k: int) -> list[Document]:
        searched.append((query.text, k))
        return first.search(query, k)

    answer = RagPipeline(search, **stages, k=3, top_n=2).ask(Query(QUESTION, id="q1"))
    assert searched == [(f"{QUESTION} casein", 3)], "the first stage searches with what was written"
    requests = stages["reranker"].backend.requests
    assert all(QUESTION in r.prompt.text and f"{QUESTION} casein" not in r.prompt.text for r in requests)
    assert stages["reader"].backend.requests[0].prompt.text.endswith(f"Question: {QUESTION}")
    assert [d.id for d in answer.candidates] == ["stand", "acid"]
    assert [d.id for d in answer.passages] == ["acid", "stand"]
    assert answer.query.id == "q1"
    assert answer.text == "Acid makes the casein of milk curdle. [1]"
    assert [citation.id for citation in answer.citations] == ["acid"]
    assert answer.rewritten is not None
    assert answer.ranking is not None
    assert answer.ranking.query.text == QUESTION
    assert answer.failures == ()
    assert answer.usage.calls == 1 + 2 + 1
    assert list(answer.timings) == ["rewrite", "retrieve", "rerank", "read"]


def test_reranking_changes_what_is_read_and_top_n_is_the_readers():
    before = RagPipeline(index(), reader=parts()["reader"], top_n=1).ask(QUESTION)
    after = RagPipeline(index(), reader=parts()["reader"], reranker=parts()["reranker"], top_n=1).ask(
        QUESTION
    )
    assert [d.id for d in before.passages] == ["stand"]
    assert [d.id for d in after.passages] == ["acid"]
    assert before.candidates == after.candidates
    assert before.ranking is None
    assert before.rewritten is None
    assert list(before.timings) == ["retrieve", "read"]


def test_a_retriever_alone():
    answer = RagPipeline(index(), top_n=1).ask(QUESTION)
    assert (answer.text, answer.citations, answer.failures) == (None, (), ())
    assert [d.id for d in answer.passages] == ["stand"]
    assert answer.usage.calls == 0


# ---- failures are told, and the rest goes on ----------------------------------------------------


def test_what_goes_wrong_is_told_by_stage():
    stages = parts(rewrite=lambda prompt: "I'm sorry, no.", read=lambda prompt: "No citation.")
    first = lambda query, k: CORPUS  # noqa: E731
    answer = RagPipeline(first, **stages, top_n=4).ask(QUESTION)
    assert [failure.stage for failure in answer.failures] == ["rewrite", "rerank", "read"]
    assert answer.failures[1].reason == "document 'moon': too far away"
    assert answer.rewritten is not None
    assert answer.rewritten.query.text == QUESTION
    assert answer.text == "No citation."
    assert answer.repairs == 1
    assert [d.id for d in answer.passages] == ["acid", "bread", "stand", "moon"]


def test_nothing_found_is_told_and_nobody_is_asked():
    stages = parts()
    answer = RagPipeline(index(), reranker=stages["reranker"], reader=stages["reader"]).ask("zebra xylophone")
    assert [failure.stage for failure in answer.failures] == ["retrieve", "read"]
    assert (answer.text, answer.passages) == (None, ())
    assert stages["reader"].backend.requests == stages["reranker"].backend.requests == []


def test_a_reranker_that_raises_raises():
    reranker = Reranker(
        "limrank", backend=full_backend(read_labels=relevance), reasoning="none", on_failure="raise"
    )
    with pytest.raises(RankingFailed, match="moon"):
        RagPipeline(lambda query, k: CORPUS, reranker=reranker).ask(QUESTION)


# ---- one logic ----------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_many_are_one_batch_a_stage_and_as_one_at_a_time_and_as_async(asynchronous: bool):
    queries: list[str | Query] = [QUESTION, "when do tides come", "zebra", Query(QUESTION, id="again")]
    stages = parts(asynchronous=asynchronous)
    pipeline = RagPipeline(index(), **stages, top_n=2)
    together = pipeline.ask_many(queries)
    # "zebra" finds casein too, by its keyword; the question asked twice is put to no model twice.
    assert len(stages["rewriter"].backend.batches) == 1
    assert len(stages["reranker"].backend.batches) == 1
    assert len(stages["reader"].backend.batches) == 1
    assert summary(together) == summary([pipeline.ask(query) for query in queries])
    assert summary(asyncio.run(pipeline.aask_many(queries))) == summary(together)
    assert summary([asyncio.run(pipeline.aask(QUESTION))]) == summary(together[:1])
    assert pipeline.ask_many([]) == asyncio.run(pipeline.aask_many([])) == []


async def test_an_async_first_stage_runs_on_the_callers_loop_and_all_at_once():
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    both = asyncio.Barrier(2)

    async def search(query: Query, k: int) -> list[Document]:
        assert asyncio.get_running_loop() is loop
        assert threading.get_ident() == here
        await asyncio.wait_for(both.wait(), 20)  # one after the other, nobody would ever come
        return CORPUS[:k]

    answers = await RagPipeline(search, k=2).aask_many(["a", "b"])
    assert [[d.id for d in answer.candidates] for answer in answers] == [["bread", "stand"]] * 2


def test_an_async_first_stage_from_plain_code_and_a_lambda_around_it():
    async def search(query: Query, k: int) -> list[str]:
        return ["one", "two", "three"]

    for first in (search, lambda query, k: search(query, k)):
        answer = RagPipeline(first, k=2).ask("q")
        assert [d.text for d in answer.candidates] == ["one", "two"], "what is beyond k is cut"


async def test_a_plain_first_stage_does_not_block_the_event_loop():
    opened = threading.Event()
    loop = asyncio.get_running_loop()

    def search(query: Query, k: int) -> list[str]:
        loop.call_soon_threadsafe(opened.set)
        assert opened.wait(20), "the event loop was blocked"
        return ["one"]

    assert (await RagPipeline(search).aask("q")).candidates[0].text == "one"


def test_timings_are_each_questions_share_by_a_clock_of_ones_own():
    now = iter([10.0, 14.0, 20.0, 26.0, 30.0, 40.0])
    pipeline = RagPipeline(
        index(), reranker=parts()["reranker"], reader=parts()["reader"], clock=lambda: next(now)
    )
    for answer in pipeline.ask_many([QUESTION, "tides"]):
        assert answer.timings == {"retrieve": 2.0, "rerank": 3.0, "read": 5.0}


def test_closing_closes_what_the_parts_loaded(monkeypatch: pytest.MonkeyPatch):
    class Loaded(ScriptedBackend):
        def __init__(self, model: str = "") -> None:
            super().__init__(generate=lambda prompt: "x", read_labels=lambda prompt: (0.0, 0.0))
            self.closed = 0

        def close(self) -> None:
            self.closed += 1

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Loaded)
    pipeline = RagPipeline(
        index(), rewriter=Rewriter("hyde", model="m"), reranker=Reranker("limrank"), reader=Reader("m")
    )
    pipeline.close()
    assert [part.backend.closed for part in (pipeline.rewriter, pipeline.reranker, pipeline.reader)] == [
        1,
        1,
        1,
    ]


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [({"k": 0}, "k must"), ({"top_n": 0}, "top_n"), ({"top_n": True}, "top_n"), ({"retriever": 5}, "search")],
)
def test_values_that_cannot_be_used_are_named(options: dict[str, Any], named: str):
    with pytest.raises(InputError, match=named):
        RagPipeline(**({"retriever": index()} | options))


def test_an_empty_question_and_documents_with_one_name():
    with pytest.raises(InputError, match="empty"):
        RagPipeline(index()).ask(" ")
    with pytest.raises(InputError, match="bread"):
        RagPipeline(lambda query, k: [CORPUS[0], CORPUS[0]]).ask("q")
