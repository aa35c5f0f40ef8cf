"""Spans: names and numbers of OpenInference's convention, who is whose child, what must not be seen."""

from __future__ import annotations

import asyncio
import contextvars
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts import logits
from servers import LoopbackServer, completion
from typer.testing import CliRunner

from limrank_plugins import (
    AsyncScriptedBackend,
    Document,
    Reranker,
    ScriptedBackend,
    ScriptedFailure,
    Store,
)
from limrank_plugins.cli import build_app
from limrank_plugins.errors import InputError, RankingFailed

pytest.importorskip("opentelemetry.sdk.trace", reason="needs OpenTelemetry: pip install 'limrank[otel]'")

from opentelemetry import trace as api
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

TEXTS = ["Bread rises.", "Acid curdles milk.", "Rain falls."]
DOCUMENTS = [Document(text, id=f"d{i}", prior=3.0 - i) for i, text in enumerate(TEXTS)]


class Traced:
    """A provider that keeps its spans in memory."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self.provider = provider or TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def of_kind(self, kind: str) -> list[ReadableSpan]:
        spans = self._exporter.get_finished_spans()
        return [span for span in spans if span.attributes["openinference.span.kind"] == kind]

    def everything(self) -> str:
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@pytest.fixture(autouse=True)
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("INPUT", "OUTPUT"):
        for what in ("S", "_TEXT", "_MESSAGES"):
            monkeypatch.delenv(f"OPENINFERENCE_HIDE_{side}{what}", raising=False)


@pytest.fixture
def traced() -> Traced:
    return Traced()


def reranker(
    traced: Traced, read: Callable[..., Any] = logits, *, kind: Any = ScriptedBackend, **more: Any
) -> Reranker:
    return Reranker(
        "limrank", backend=kind(read_labels=read), reasoning="none", trace=traced.provider, **more
    )


def test_a_ranking_is_a_span_of_the_reranker_convention(traced: Traced):
    ranking = reranker(traced).rank("why milk", DOCUMENTS, top_n=2)
    (span,) = traced.of_kind("RERANKER")
    expected: dict[str, Any] = {
        "openinference.span.kind": "RERANKER",
        "reranker.query": "why milk",
        "reranker.model_name": "scripted",
        "reranker.top_k": 2,
    }
    for i, document in enumerate(DOCUMENTS):
        place = f"reranker.input_documents.{i}.document"
        expected |= {f"{place}.id": document.id, f"{place}.content": document.text}
        expected |= {f"{place}.score": document.prior}
    for i, hit in enumerate(ranking):
        place = f"reranker.output_documents.{i}.document"
        expected |= {
            f"{place}.id": hit.id,
            f"{place}.content": hit.document.text,
            f"{place}.score": hit.score,
        }
    ours = {
        "limrank.recipe": "limrank",
        "limrank.score_kind": "probability",
        "limrank.calls": 3,
        "limrank.replies_from_store": 0,
        "limrank.failures": 0,
    }
    assert dict(span.attributes) == expected | ours
    assert span.status.status_code == StatusCode.UNSET


@pytest.mark.parametrize("count", [20, 100, 1000])
@pytest.mark.parametrize("top_n", [None, 3])
def test_a_span_holds_what_matters_most_within_the_providers_limit(
    traced: Traced, caplog: pytest.LogCaptureFixture, count: int, top_n: int | None
):
    documents = [Document(f"Passage {i}.", id=f"d{i}") for i in range(count)]
    with caplog.at_level("WARNING"):
        ranking = reranker(traced).rank("why milk", documents, top_n=top_n)
    assert not caplog.records
    (span,) = traced.of_kind("RERANKER")
    said = dict(span.attributes)
    assert span.dropped_attributes == 0
    assert len(said) <= 128
    assert (said["reranker.query"], said["reranker.model_name"]) == ("why milk", "scripted")
    assert said["limrank.calls"] == count
    shown = {
        side: [said[name] for i in range(count)
               if (name := f"reranker.{side}_documents.{i}.document.id") in said]
        for side in ("input", "output")
    }  # fmt: skip
    assert shown["output"] == [hit.id for hit in ranking][: len(shown["output"])]
    assert shown["input"] == [document.id for document in documents][: len(shown["input"])]
    left_out = len(ranking) + count - len(shown["output"]) - len(shown["input"])
    assert said.get("limrank.documents_left_out", 0) == left_out
    assert left_out == 0 or len(said) >= 128 - 3, "as many as there is room for"
    assert not shown["input"] or len(shown["output"]) == len(ranking), "what came out comes first"


@pytest.mark.parametrize(("limit", "shown"), [(None, 200), (20, 3), (13, 1), (12, 0), (10, 0)])
def test_a_providers_own_limit_is_kept_to(limit: int | None, shown: int):
    traced = Traced(TracerProvider(span_limits=SpanLimits(max_span_attributes=limit or SpanLimits.UNSET)))
    reranker(traced).rank("why milk", [f"Passage {i}." for i in range(100)])
    (span,) = traced.of_kind("RERANKER")
    assert span.dropped_attributes == 0
    assert sum(name.endswith(".document.id") for name in span.attributes) == shown
    assert span.attributes.get("limrank.documents_left_out", 0) == 200 - shown
    places = [name.split(".")[1] for name in span.attributes if name.startswith("reranker.")]
    assert shown == 200 or "input_documents" not in places


def test_calls_of_the_model_are_its_children_with_their_tokens(traced: Traced):
    reranker(traced).rank("why milk", DOCUMENTS)
    (parent,) = traced.of_kind("RERANKER")
    calls = traced.of_kind("LLM")
    assert len(calls) == 3
    for call in calls:
        assert call.parent.span_id == parent.context.span_id
        assert call.context.trace_id == parent.context.trace_id
        assert parent.start_time <= call.start_time <= call.end_time <= parent.end_time
        words = len(call.attributes["input.value"].split())
        assert call.attributes["llm.token_count.prompt"] == words > 5
        assert call.attributes["llm.token_count.total"] == words
        assert "llm.cost.total" not in call.attributes
    assert {text for text in TEXTS for call in calls if text in call.attributes["input.value"]} == set(TEXTS)


def test_cached_tokens_completions_and_cost_of_a_served_model(traced: Traced):
    pytest.importorskip("openai")
    body = completion({" true": -0.1, " false": -2.4}) | {
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 60},
        }
    }
    with LoopbackServer(lambda call: body) as server:
        served = Reranker(
            "limrank", "m", "openai", base_url=server.url, api="completions", template="limrank",
            reasoning="none", api_key="sk-a-secret-key", token_price=2.0, cached_price=0.5,
            completion_price=8.0, trace=traced.provider,
        )  # fmt: skip
        ranking = served.rank("why milk", DOCUMENTS)
        served.close()
    calls = traced.of_kind("LLM")
    assert len(calls) == 3
    for call in calls:
        counts = {n: v for n, v in call.attributes.items() if n.startswith("llm.")}
        assert counts == {
            "llm.model_name": "m",
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 1,
            "llm.token_count.total": 101,
            "llm.token_count.prompt_details.cache_read": 60,
            "llm.cost.total": pytest.approx((40 * 2.0 + 60 * 0.5 + 8.0) / 1e6),
        }
    (parent,) = traced.of_kind("RERANKER")
    assert parent.attributes["limrank.cost"] == ranking.cost
    assert parent.attributes["reranker.model_name"] == "m"
    assert "secret" not in traced.everything()


def test_completions_and_vectors_have_their_kinds(traced: Traced):
    backend = ScriptedBackend(
        generate=lambda p: "Because. </think>", read_labels=logits, encode=lambda *_: [1.0, 0.0]
    )
    Reranker("limrank", backend=backend, trace=traced.provider).rank("why", TEXTS[:1])
    (call,) = traced.of_kind("LLM")
    assert call.attributes["output.value"] == "Because. "
    Reranker("mini", backend=backend, trace=traced.provider).rank("why", TEXTS)
    assert len(traced.of_kind("EMBEDDING")) == 4
    assert traced.of_kind("EMBEDDING")[0].attributes["embedding.model_name"] == "scripted"


def test_a_reply_from_the_store_is_no_call(traced: Traced, tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        ranker = reranker(traced, store=store)
        ranker.rank("why", [*TEXTS, f"{TEXTS[0]}"])
        assert len(traced.of_kind("LLM")) == 3
        ranker.rank("why", TEXTS)
    assert len(traced.of_kind("LLM")) == 3
    last = traced.of_kind("RERANKER")[-1]
    assert (last.attributes["limrank.calls"], last.attributes["limrank.replies_from_store"]) == (0, 3)
    assert last.attributes["limrank.cost"] == 0.0


# ---- whose child, in threads and tasks ------------------------------------------------------------


@pytest.mark.parametrize("kind", [ScriptedBackend, AsyncScriptedBackend])
@pytest.mark.parametrize("door", ["rank", "arank"])
def test_the_callers_span_is_the_parent_and_a_backend_sees_the_rankings(traced: Traced, kind: Any, door: str):
    seen: list[int] = []

    def read(prompt: Any) -> tuple[float, ...]:
        seen.append(api.get_current_span().get_span_context().span_id)
        return logits(prompt)

    ranker = reranker(traced, read, kind=kind)
    tracer = traced.provider.get_tracer("test")
    with tracer.start_as_current_span("caller", attributes={"openinference.span.kind": "CHAIN"}) as caller:
        if door == "rank":
            ranker.rank("why", TEXTS)
        else:
            asyncio.run(ranker.arank("why", TEXTS))
        assert api.get_current_span() is caller
    (ranking,) = traced.of_kind("RERANKER")
    assert ranking.parent.span_id == caller.get_span_context().span_id
    assert seen == [ranking.context.span_id] * 3


@pytest.mark.parametrize("kind", [ScriptedBackend, AsyncScriptedBackend])
@pytest.mark.parametrize("door", ["rank_many", "arank_many"])
def test_many_queries_have_a_span_each_with_its_own_calls(traced: Traced, kind: Any, door: str):
    jobs = [(f"query {i}", [f"{i} {j} text" for j in range(i + 1)]) for i in range(3)]
    ranker = reranker(traced, kind=kind)
    if door == "rank_many":
        ranker.rank_many(jobs)
    else:
        asyncio.run(ranker.arank_many(jobs))
    rankings = {span.context.span_id: span for span in traced.of_kind("RERANKER")}
    assert sorted(span.attributes["reranker.query"] for span in rankings.values()) == [q for q, _ in jobs]
    for query, documents in jobs:
        own = [
            call
            for call in traced.of_kind("LLM")
            if rankings[call.parent.span_id].attributes["reranker.query"] == query
        ]
        assert len(own) == len(documents)
        assert all(any(text in call.attributes["input.value"] for text in documents) for call in own)


def test_concurrent_rankings_do_not_mix(traced: Traced):
    async def run() -> None:
        ranker = reranker(traced, kind=AsyncScriptedBackend)
        await asyncio.gather(*(ranker.arank(f"query {i}", [f"passage {i}", "b"]) for i in range(5)))

    asyncio.run(run())
    by_id = {span.context.span_id: span for span in traced.of_kind("RERANKER")}
    assert len(by_id) == 5
    for call in traced.of_kind("LLM"):
        query = by_id[call.parent.span_id].attributes["reranker.query"]
        assert query in call.attributes["input.value"]


def test_parts_of_a_recipe_are_below_its_span(traced: Traced):
    backend = ScriptedBackend(read_labels=logits, encode=lambda *_: [1.0, 0.0])
    Reranker("cascade", backend=backend, trace=traced.provider, reasoning="none").rank("why", TEXTS)
    (ranking,) = traced.of_kind("RERANKER")
    children = [*traced.of_kind("LLM"), *traced.of_kind("EMBEDDING")]
    assert children
    assert all(span.parent.span_id == ranking.context.span_id for span in children)


# ---- what goes wrong ------------------------------------------------------------------------------


def broken(prompt: Any) -> tuple[float, ...]:
    if "milk" in prompt.text:
        raise ScriptedFailure("the server wrote: sour cream")
    return logits(prompt)


def test_a_document_that_failed_is_an_exception_of_its_call_and_of_the_ranking(traced: Traced):
    reranker(traced, broken).rank("why", DOCUMENTS)
    (call,) = [span for span in traced.of_kind("LLM") if span.status.status_code == StatusCode.ERROR]
    assert call.status.description == "the server wrote: sour cream"
    (ranking,) = traced.of_kind("RERANKER")
    assert ranking.status.status_code == StatusCode.ERROR
    assert ranking.status.description == "1 document could not be judged"
    (event,) = ranking.events
    assert event.attributes["exception.message"] == (
        "document 'd1' could not be judged: the server wrote: sour cream"
    )
    (place,) = [
        name
        for name, value in ranking.attributes.items()
        if name.startswith("reranker.out") and value == "d1"
    ]
    assert place.replace(".id", ".score") not in ranking.attributes
    assert json.loads(ranking.attributes[place.replace(".id", ".metadata")]) == {
        "failure": "the server wrote: sour cream"
    }


def test_an_error_that_leaves_is_recorded_and_raised(traced: Traced):
    def read(prompt: Any) -> tuple[float, ...]:
        raise RuntimeError("out of memory")

    for ranker, kind in (
        (reranker(traced, read), RuntimeError),
        (reranker(traced, broken, on_failure="raise"), RankingFailed),
    ):
        with pytest.raises(kind):
            ranker.rank("why", DOCUMENTS)
        span = traced.of_kind("RERANKER")[-1]
        assert span.status.status_code == StatusCode.ERROR
        assert span.events[-1].attributes["exception.type"] == kind.__name__
        assert span.events[-1].attributes["exception.escaped"] is True
        assert span.attributes["reranker.input_documents.2.document.id"] == "d2"
    assert api.get_current_span() is api.INVALID_SPAN


# ---- what must not be seen ------------------------------------------------------------------------


def test_a_key_is_in_no_span_whatever_quotes_it(traced: Traced, monkeypatch: pytest.MonkeyPatch):
    class Built(ScriptedBackend):
        def __init__(self, model: str = "", *, api_key: str = "") -> None:
            super().__init__(read_labels=broken)

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Built)
    ranker = Reranker("limrank", reasoning="none", api_key="sk-a-secret", trace=traced.provider)
    ranker.rank("why sk-a-secret", ["bread", "milk of sk-a-secret"])
    assert "sk-a-secret" not in traced.everything()
    assert traced.of_kind("RERANKER")[0].attributes["reranker.query"] == "why ***"


@pytest.mark.parametrize("variable", ["OPENINFERENCE_HIDE_INPUTS", "OPENINFERENCE_HIDE_INPUT_TEXT"])
def test_inputs_can_be_hidden(traced: Traced, monkeypatch: pytest.MonkeyPatch, variable: str):
    monkeypatch.setenv(variable, "True")
    reranker(traced, broken).rank("a query", DOCUMENTS)
    shown = traced.everything()
    for text in (*TEXTS, "a query", "sour cream"):
        assert text not in shown
    (ranking,) = traced.of_kind("RERANKER")
    assert ranking.attributes["reranker.input_documents.0.document.id"] == "d0"
    assert ranking.attributes["reranker.input_documents.0.document.content"] == "__REDACTED__"
    assert traced.of_kind("LLM")[0].attributes["llm.token_count.prompt"] > 5


def test_outputs_can_be_hidden(traced: Traced, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "1")
    backend = ScriptedBackend(generate=lambda prompt: "A thought. </think>", read_labels=broken)
    Reranker("limrank", backend=backend, trace=traced.provider).rank("a query", DOCUMENTS)
    assert "A thought" not in traced.everything()
    (ranking,) = traced.of_kind("RERANKER")
    assert ranking.attributes["reranker.query"] == "a query"
    assert ranking.attributes["reranker.output_documents.0.document.content"] == "__REDACTED__"
    assert "sour cream" not in traced.everything()
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "false")
    Reranker("limrank", backend=backend, trace=traced.provider).rank("a query", DOCUMENTS)
    assert "A thought" in traced.everything()


@pytest.mark.parametrize(
    ("recipe", "variable"),
    [("limrank", "OPENINFERENCE_HIDE_OUTPUTS"), ("reasonrank", "OPENINFERENCE_HIDE_OUTPUT_TEXT")],
)
def test_hidden_outputs_are_hidden_where_a_model_reads_on_from_them(
    traced: Traced, monkeypatch: pytest.MonkeyPatch, recipe: str, variable: str
):
    thought = "<think>A thought that goes on." + " And on." * 100
    backend = ScriptedBackend(generate=lambda prompt: thought, read_labels=logits)
    ranker = Reranker(recipe, backend=backend, max_reasoning_tokens=3, trace=traced.provider)
    monkeypatch.setenv(variable, "1")
    ranker.rank("a query", DOCUMENTS[:1] if recipe == "limrank" else DOCUMENTS)
    asked = [call.attributes["input.value"] for call in traced.of_kind("LLM")]
    assert len(asked) == 2, "the reasoning was ended, and the answer asked for"
    assert "A thought" not in traced.everything()
    assert asked[1].startswith(asked[0])
    assert asked[1][len(asked[0]) :].split()[:2] == ["__REDACTED__", "</think>"]
    monkeypatch.delenv(variable)
    ranker.rank("a query", DOCUMENTS[:1] if recipe == "limrank" else DOCUMENTS)
    assert "A thought" in traced.of_kind("LLM")[-1].attributes["input.value"]


# ---- asking for it --------------------------------------------------------------------------------


def test_nothing_is_imported_or_made_without_asking():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from limrank_plugins import Reranker, ScriptedBackend\n"
        "backend = ScriptedBackend(read_labels=lambda p: (1.0, 0.0))\n"
        "Reranker('limrank', backend=backend, reasoning='none').rank('q', ['a', 'b'])\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
        "Reranker('limrank', backend=backend, reasoning='none', trace=True).rank('q', ['a', 'b'])\n"
        "assert 'opentelemetry.trace' in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, root], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_trace_is_true_or_a_provider():
    for wrong in ("yes", 1, None):
        with pytest.raises(InputError, match="trace must be True, False or a tracer provider"):
            Reranker("prior", trace=wrong)


def test_the_provider_that_is_set_later_is_used_and_a_pickle_asks_for_it_again(traced: Traced):
    def ranked(ranker: Reranker) -> Sequence[str]:
        return ranker.rank("why", [Document("a", prior=1.0)]).ids

    ranker = pickle.loads(pickle.dumps(Reranker("prior", trace=True)))
    ranked(ranker)  # nobody has set one: no spans, no error

    def run() -> None:
        api._TRACER_PROVIDER = traced.provider  # what set_tracer_provider sets, once in a process
        try:
            ranked(ranker)
        finally:
            api._TRACER_PROVIDER = None

    contextvars.copy_context().run(run)
    assert len(traced.of_kind("RERANKER")) == 1


def test_what_the_documentation_prints(capsys: pytest.CaptureFixture[str]):
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    done = subprocess.run([sys.executable, "-c", code[0]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"openinference.span.kind": "RERANKER"' in done.stdout
    assert '"openinference.span.kind": "LLM"' in done.stdout


# ---- doors ----------------------------------------------------------------------------------------


@pytest.fixture
def provided(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> Traced:
    """The provider is the one that is set, and whatever backend a recipe names is a script."""

    class Built(ScriptedBackend):
        def __init__(self, model: str = "", **options: Any) -> None:
            super().__init__(read_labels=logits)

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Built)
    monkeypatch.setattr(api, "_TRACER_PROVIDER", traced.provider)
    return traced


def in_order(traced: Traced) -> list[str]:
    (span,) = traced.of_kind("RERANKER")
    assert len(traced.of_kind("LLM")) == len(TEXTS)
    places = [f"reranker.output_documents.{i}.document.content" for i in range(len(TEXTS))]
    return [span.attributes[place] for place in places]


def test_llama_index(provided: Traced):
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    found = LimRankRerank(reasoning="none", trace=True).postprocess_nodes(nodes, query_str="why")
    assert in_order(provided) == [node.node.get_content() for node in found]


def test_haystack(provided: Traced):
    pytest.importorskip("haystack")
    from haystack import Document as HaystackDocument
    from haystack_integrations.components.rankers.limrank import LimRankRanker

    documents = [HaystackDocument(content=text) for text in TEXTS]
    found = LimRankRanker(reasoning="none", trace=True).run(query="why", documents=documents)
    assert in_order(provided) == [document.content for document in found["documents"]]


def test_langchain(provided: Traced):
    pytest.importorskip("langchain_core")
    from langchain_core.documents import Document as LangChainDocument

    from limrank_plugins.langchain import LimRankCompressor

    documents = [LangChainDocument(page_content=text) for text in TEXTS]
    compressor = LimRankCompressor(options={"reasoning": "none", "trace": True})
    found = asyncio.run(compressor.acompress_documents(documents, "why"))
    assert in_order(provided) == [document.page_content for document in found]


def test_command_line(provided: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    asked = ["--recipe", "limrank", "--reasoning", "none", "--k", "3", "--option", "trace=true"]
    done = CliRunner().invoke(build_app(), ["search", "samples", "why does milk go lumpy in tea", *asked])
    assert done.exit_code == 0, done.output
    assert len(in_order(provided)) == 3
