"""`Rewriter`: what is asked, what comes back, and what happens where nothing usable does."""

from __future__ import annotations

import asyncio
import doctest
from pathlib import Path
from typing import Any

import pytest
import tiny
from scripts import full_backend, logits, passage_of

import limrank_pipelines
from limrank_pipelines import Rewrite, Rewriter, rewriter_names
from limrank_plugins import (
    AsyncScriptedBackend,
    Query,
    Reranker,
    ScriptedBackend,
    ScriptedFailure,
    Store,
    samples,
)
from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import CapabilityError, InputError
from limrank_plugins.images import Image
from limrank_plugins.retrievers import build_retriever

METHODS = rewriter_names()
QUERY = Query("why does milk curdle", id="q7", instruction="only chemistry", images=(Image(b"GIF89a"),))


def writer(answer: Any, *, asynchronous: bool = False, identity: str = "writer") -> ScriptedBackend:
    kind = AsyncScriptedBackend if asynchronous else ScriptedBackend
    return kind(generate=answer if callable(answer) else lambda prompt: answer, identity=identity)


def question(prompt: Any) -> str:
    return next(s.text for s in prompt.segments if not s.trusted and s.image is None)


# ---- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "repeat", "text"),
    [
        ("reasoning", None, "casein acid"),
        ("reasoning", 1, "why does milk curdle casein acid"),
        ("hyde", None, "why does milk curdle casein acid casein acid"),
        ("keywords", None, "why does milk curdle casein acid"),
        ("keywords", 3, "why does milk curdle why does milk curdle why does milk curdle casein acid"),
        ("keywords", 0, "casein acid"),
    ],
)
def test_the_query_is_made_of_the_original_and_what_was_written(method: str, repeat: int | None, text: str):
    options = {"samples": 2} if method == "hyde" else {}
    rewrite = Rewriter(method, backend=writer("casein acid"), repeat=repeat, **options).rewrite(QUERY)
    assert rewrite.original is QUERY
    assert rewrite.query == Query(text, id="q7", instruction="only chemistry", images=QUERY.images)
    assert set(rewrite.passages) == {"casein acid"}
    assert (rewrite.failure, rewrite.repairs) == (None, 0)


@pytest.mark.parametrize("method", METHODS)
def test_the_writer_is_asked_about_the_query_its_instruction_and_its_images(method: str):
    backend = writer("casein")
    Rewriter(method, backend=backend, seed=5, max_tokens=77).rewrite(QUERY)
    requests = backend.requests
    assert len(requests) == (8 if method == "hyde" else 1)
    for sample, request in enumerate(requests):
        assert isinstance(request, Generate)
        assert question(request.prompt) == "why does milk curdle only chemistry"
        assert request.prompt.images == QUERY.images
        assert (request.max_tokens, request.seed, request.sample) == (77, 5, sample)
        assert request.temperature == (0.7 if method == "hyde" else 0.0)
        assert request.top_p == 1.0
    assert len(set(requests)) == len(requests), "every sample is another draw"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("completion", ["", "<think>on and on", "I'm sorry, I cannot help.", "!?"])
def test_where_nothing_can_be_used_the_query_stays_and_says_why(method: str, completion: str):
    rewrite = Rewriter(method, backend=writer(completion)).rewrite(QUERY)
    assert rewrite.query is rewrite.original is QUERY
    assert rewrite.passages == ()
    assert rewrite.failure
    assert rewrite.usage.calls == (8 if method == "hyde" else 1)


def test_a_model_that_is_out_fails_the_query_it_was_asked_about_alone():
    def answer(prompt: Any) -> str:
        if "milk" in question(prompt):
            raise ScriptedFailure("out of memory")
        return "yeast makes gas"

    milk, bread = Rewriter("hyde", backend=writer(answer)).rewrite_many([QUERY, "why does bread rise"])
    assert (milk.query, milk.failure) == (QUERY, "out of memory")
    assert (bread.failure, len(bread.passages)) == (None, 8)


def test_single_samples_that_cannot_be_used_are_counted():
    completions = iter(["Acid.", "", "I'm sorry, no.", "Casein."])
    rewrite = Rewriter("hyde", backend=writer(lambda prompt: next(completions)), samples=4).rewrite("milk")
    assert rewrite.passages == ("Acid.", "Casein.")
    assert rewrite.query.text == "milk Acid. Casein."
    assert (rewrite.repairs, rewrite.failure) == (2, None)


def test_two_texts_make_no_tag_together():
    completions = iter(["Acid < ", "/think> casein."])
    rewrite = Rewriter("hyde", backend=writer(lambda prompt: next(completions)), samples=2).rewrite("milk")
    assert rewrite.passages == ("Acid <", "/think> casein.")
    assert rewrite.query.text == "milk Acid (/think) casein."


def test_a_text_that_its_budget_ended_loses_its_last_sentence():
    rewriter = Rewriter("reasoning", backend=writer("One two. Three four five"), max_tokens=3)
    assert rewriter.rewrite("q").query.text == "One two."


def test_it_is_a_function_from_query_to_query():
    rewriter = Rewriter("keywords", backend=writer("casein"))
    assert rewriter("milk") == rewriter.rewrite("milk").query == Query("milk casein")


# ---- many, async, stored ------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_many_are_one_batch_and_as_one_at_a_time_and_as_async(method: str, asynchronous: bool):
    def answer(prompt: Any) -> str:
        return f"about {question(prompt)}"

    queries = ["a", Query("b", id="2"), "c"]
    backend = writer(answer, asynchronous=asynchronous)
    rewriter = Rewriter(method, backend=backend)
    together = rewriter.rewrite_many(queries)
    assert len(backend.batches) == 1
    alone = [rewriter.rewrite(query) for query in queries]
    later = asyncio.run(rewriter.arewrite_many(queries))
    assert asyncio.run(rewriter.arewrite("a")).query == together[0].query

    def summary(rewrites: list[Rewrite]) -> list[Any]:
        return [(r.original, r.query, r.passages, r.failure, r.usage.calls) for r in rewrites]

    assert summary(together) == summary(alone) == summary(later)
    assert rewriter.rewrite_many([]) == []


def test_what_is_in_the_store_is_not_written_again(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        first = Rewriter("hyde", backend=writer("casein"), store=store).rewrite("milk")
        silent = writer("never asked")
        again = Rewriter("hyde", backend=silent, store=store).rewrite("milk")
        assert silent.requests == []
        assert (again.query, again.usage.cached, again.usage.calls) == (first.query, 8, 0)
        for options in ({"seed": 1}, {"max_tokens": 9}, {"temperature": 0.5}):
            another = writer("another")
            Rewriter("hyde", backend=another, store=store, **options).rewrite("milk")
            assert len(another.requests) == 8


def test_an_identity_is_that_of_equal_results():
    def identity(method: str = "hyde", by: str = "writer", **options: Any) -> str:
        return Rewriter(method, backend=writer("x", identity=by), **options).identity

    ways: list[dict[str, Any]] = [{}, {"method": "reasoning"}, {"by": "other"}, {"samples": 3}, {"repeat": 2}]
    ways += [{"seed": 1}, {"temperature": 0.3}, {"top_p": 0.5}, {"max_tokens": 9}]
    identities = [identity(**way) for way in ways]
    assert len(set(identities)) == len(ways)
    assert identities == [identity(**way) for way in ways]


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "hide"}, "hide"),
        ({"samples": 0}, "samples"),
        ({"samples": True}, "samples"),
        ({"repeat": -1}, "repeat"),
        ({"repeat": 1.5}, "repeat"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": "1"}, "seed"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 0, "samples": 2}, "temperature 0"),
        ({"top_p": 0}, "top_p"),
        ({"template": "nothing.toml"}, "nothing.toml"),
        ({"model": "m"}, "model"),
        ({"device": "cpu"}, "device"),
        ({"backend": "transformers"}, "name the model"),
        ({"backend": "no such"}, "no such"),
        ({"backend": "transformers", "model": "m", "nonsense": 1}, "nonsense"),
    ],
)
def test_values_that_cannot_be_used_are_named(options: dict[str, Any], named: str):
    with pytest.raises(InputError, match=named):
        Rewriter(**({"backend": writer("x")} | options))


def test_a_model_that_cannot_write_is_refused():
    with pytest.raises(CapabilityError, match="can write text"):
        Rewriter("hyde", backend=full_backend(generate=None))


def test_an_empty_query_is_an_error():
    with pytest.raises(InputError, match="empty"):
        Rewriter("hyde", backend=writer("x")).rewrite(" ")


def test_it_closes_what_it_loaded_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    class Loaded(ScriptedBackend):
        def __init__(self, model: str = "") -> None:
            super().__init__(generate=lambda prompt: "x")
            self.closed = 0

        def close(self) -> None:
            self.closed += 1

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Loaded)
    loaded = Rewriter("hyde", model="m")
    loaded.close()
    lent = Loaded()
    Rewriter("hyde", backend=lent).close()
    assert (loaded.backend.closed, lent.closed) == (1, 0)


# ---- with a model -------------------------------------------------------------------------------

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("method", METHODS)
def test_a_real_model_writes_and_the_same_seed_writes_the_same(method: str, tmp_path: Path):
    tokens = tiny.qwen_tokenizer()
    tokens.chat_template = CHAT
    folder = tiny.build(tmp_path / "m", tokens=tokens, max_position_embeddings=1024)
    backend = TransformersBackend(str(folder), device="cpu", dtype="float32")
    rewriter = Rewriter(method, backend=backend, samples=3, temperature=1.0, max_tokens=24)
    queries = ["why does milk curdle in tea <|im_end|> </think>", "why does bread rise"]
    rewrites = rewriter.rewrite_many(queries)
    again = [rewriter.rewrite(query) for query in queries]
    assert [r.query for r in rewrites] == [r.query for r in again]
    for rewrite in rewrites:
        assert rewrite.usage.generated_tokens > 0
        assert len(rewrite.passages) + rewrite.repairs == 3 or rewrite.failure is not None
        assert "<|im_end|>" not in "".join(rewrite.passages)
    if method != "keywords":  # a random model rarely writes a list
        assert any(rewrite.passages for rewrite in rewrites)
        other = Rewriter(method, backend=backend, samples=3, temperature=1.0, max_tokens=24, seed=1)
        assert other.rewrite(queries[0]).passages != rewrites[0].passages
    backend.close()


# ---- from end to end ----------------------------------------------------------------------------


def test_missing_words_bring_more_relevant_passages_and_the_original_is_reranked():
    queries, qrels = samples.queries(), samples.qrels()
    titles = {document.id: document.title for document in samples.documents()}
    relevant = {query.id: {i for i, grade in qrels[query.id].items() if grade > 0} for query in queries}
    missing = {query.text: ", ".join(titles[i] for i in sorted(relevant[query.id])) for query in queries}
    retriever = build_retriever("bm25s", samples.documents())

    def recall(searched: list[Query]) -> float:
        hits = [
            len(relevant[query.id] & {document.id for document in documents}) / len(relevant[query.id])
            for query, documents in zip(searched, retriever.search_many(searched, k=5), strict=True)
        ]
        return sum(hits) / len(hits)

    rewriter = Rewriter("keywords", backend=writer(lambda prompt: missing[question(prompt)]))
    rewritten = rewriter.rewrite_many(queries)
    before, after = recall(queries), recall([rewrite.query for rewrite in rewritten])
    assert before < 0.7
    assert after > before + 0.2

    judge = full_backend(read_labels=logits)
    first = rewritten[0]
    candidates = retriever.search(first.query, k=5)
    ranking = Reranker("limrank", backend=judge, reasoning="none").rank(first.original, candidates)
    assert sorted(ranking.ids) == sorted(document.id for document in candidates)
    for request in judge.requests:
        assert question(request.prompt) == first.original.text, "the reranker reads what was asked"
        assert passage_of(request.prompt) in {document.passage for document in candidates}


def test_the_example_runs_as_printed():
    outcome = doctest.testmod(limrank_pipelines)
    assert (outcome.attempted > 0, outcome.failed) == (True, 0)
