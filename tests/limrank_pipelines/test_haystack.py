"""The assembly as a Haystack pipeline: in Python, through YAML, plain and async."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

import haystack
from haystack import Document, Pipeline, component
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret
from haystack_integrations.components.rankers.limrank import LimRankRanker
from haystack_integrations.components.retrievers.limrank import LimRankBM25Retriever
from rag_parts import CORPUS, QUESTION, index, parts

from limrank_pipelines import HybridRetriever, RagPipeline
from limrank_pipelines.haystack import (
    LimRankFirstStage,
    LimRankReader,
    LimRankRewriter,
    aask,
    ask,
    build_pipeline,
    load_pipeline,
)
from limrank_plugins.errors import InputError

HAYSTACK_2 = not hasattr(Pipeline, "run_async")
AsyncPipeline: Any = haystack.AsyncPipeline if HAYSTACK_2 else Pipeline


@component
class Saying:
    """A chat generator that always replies the same and keeps its messages."""

    def __init__(self, reply: str = "Acid [1].") -> None:
        self.reply = reply
        self.messages: list[list[ChatMessage]] = []

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        self.messages.append(messages)
        return {"replies": [ChatMessage.from_assistant(self.reply)]}


@component
class Judge:
    """A ranker: documents that name casein first."""

    def __init__(self, top_k: int = 2) -> None:
        self.top_k = top_k
        self.queries: list[str] = []

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document]) -> dict[str, Any]:
        self.queries.append(query)
        return {"documents": sorted(documents, key=lambda d: "casein" not in (d.content or ""))[: self.top_k]}


def ids(documents: Any) -> list[str]:
    return [document.id for document in documents]


def described(pipeline: Any) -> dict[str, Any]:
    """The pipeline as a dictionary; Haystack lists connections in no order that lasts."""
    data = pipeline.to_dict()
    return data | {"connections": sorted(data["connections"], key=str)}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    index().save(tmp_path / "index")
    return str(tmp_path / "index")


def test_it_is_the_framework_free_pipeline_with_the_same_parts():
    stages = parts()
    answer = RagPipeline(index(), **parts(), top_n=2).ask(QUESTION)
    judge, writer = Judge(), Saying("casein")
    pipeline = build_pipeline(
        LimRankFirstStage(retriever=index()),
        rewriter=LimRankRewriter("keywords", chat_generator=writer),
        ranker=judge,
        reader=LimRankReader(reader=stages["reader"]),
    )
    outputs = ask(pipeline, QUESTION)
    assert outputs["answer"].data == answer.text == "Acid makes the casein of milk curdle. [1]"
    assert ids(outputs["answer"].documents) == ["acid"]
    assert outputs["answer"].documents[0].meta["source_index"] == 1
    assert outputs["answer"].meta["usage"]["calls"] == 1
    assert ids(outputs["retriever"]["documents"]) == [document.id for document in answer.candidates]
    assert ids(outputs["ranker"]["documents"]) == [document.id for document in answer.passages]
    assert judge.queries == [QUESTION], "the ranker gets the original"
    assert outputs["rewriter"]["query"] == f"{QUESTION} casein"
    assert stages["reader"].backend.requests[0].prompt.text.endswith(f"Question: {QUESTION}")


def test_async_is_plain():
    def build(asynchronous: bool) -> Any:
        return build_pipeline(
            LimRankFirstStage(retriever=index()),
            rewriter=LimRankRewriter("keywords", chat_generator=Saying("casein")),
            reader=LimRankReader(reader=parts(asynchronous=asynchronous)["reader"]),
            pipeline_class=AsyncPipeline,
        )

    plain, later = ask(build(False), QUESTION), asyncio.run(aask(build(True), QUESTION))
    assert later["answer"].data == plain["answer"].data
    assert later["retriever"] == plain["retriever"]


def test_the_frameworks_own_retriever_and_generator():
    store = InMemoryDocumentStore()
    store.write_documents([Document(id=d.id or "", content=d.text) for d in CORPUS])
    saying = Saying("Acid [1], they say [9].")
    pipeline = build_pipeline(
        InMemoryBM25Retriever(store, top_k=4), ranker=Judge(1), reader=LimRankReader(chat_generator=saying)
    )
    outputs = ask(pipeline, QUESTION)
    assert (outputs["answer"].data, ids(outputs["answer"].documents)) == ("Acid [1], they say.", ["acid"])
    assert outputs["reader"]["meta"]["repairs"] == 1
    assert [message.role.value for message in saying.messages[0]] == ["system", "user"]
    assert "Passage [1]: Acid makes the casein" in (saying.messages[0][1].text or "")


def test_yaml_round_trip(folder: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", "sk-planted-1")
    pipeline = build_pipeline(
        LimRankBM25Retriever(index_path=folder, top_k=20),
        rewriter=LimRankRewriter("hyde", model="m", backend="openai", api_base_url="http://localhost:1/v1"),
        ranker=LimRankRanker(
            recipe="prior", top_k=2, meta_fields_to_embed=["title"], embedding_separator=" "
        ),
        reader=LimRankReader(
            model="m",
            backend="openai",
            api_key=Secret.from_env_var("MY_KEY"),
            api_base_url="http://localhost:1/v1",
            model_kwargs={"max_length": 4096},
            reader_kwargs={"max_tokens": 9, "recite": False},
        ),
    )
    yaml = pipeline.dumps()
    assert "sk-planted-1" not in yaml
    again = load_pipeline(yaml)
    assert described(again) == described(pipeline)
    reader = again.get_component("reader")
    assert reader.reader_kwargs == {"max_tokens": 9, "recite": False}
    reader.warm_up()
    assert reader._reader().max_tokens == 9
    assert reader._reader().backend.name == "openai"
    assert sorted(again.graph.edges) == sorted(pipeline.graph.edges)


def test_a_pipeline_from_yaml_answers_as_the_one_it_was_made_of(tmp_path: Path):
    HybridRetriever.build(CORPUS, parts=("bm25s", "rank_bm25")).save(tmp_path / "hybrid")
    if HAYSTACK_2:
        pytest.skip("Haystack 2 has no generator that can be serialised and answers without a model")
    from haystack.components.generators.chat import MockChatGenerator as mock

    pipeline = build_pipeline(
        LimRankFirstStage(str(tmp_path / "hybrid"), top_k=3),
        ranker=LimRankRanker(recipe="prior", top_k=2),
        reader=LimRankReader(chat_generator=mock("It is [2] and [1].")),
    )
    before, again = ask(pipeline, QUESTION), ask(load_pipeline(pipeline.dumps()), QUESTION)
    assert before["answer"].data == "It is [2] and [1]."
    assert ids(before["answer"].documents) == ids(reversed(before["ranker"]["documents"]))
    for outputs in (before, again):
        outputs["reader"]["meta"].pop("usage")
        outputs["answer"].meta.pop("usage")
        outputs["ranker"].pop("meta")
    assert again == before


def test_haystack_3_loads_nothing_of_ours_unasked(folder: str):
    if HAYSTACK_2:
        pytest.skip("Haystack 2 trusts every module")
    yaml = build_pipeline(LimRankFirstStage(folder)).dumps()
    with pytest.raises(Exception, match="limrank_pipelines"):
        Pipeline.loads(yaml)
    assert ids(ask(load_pipeline(yaml), QUESTION)["retriever"]["documents"]) == ["stand", "acid"]


def test_no_answer_and_no_document():
    stages = parts(read=lambda prompt: "")
    pipeline = build_pipeline(
        LimRankFirstStage(retriever=index()), reader=LimRankReader(reader=stages["reader"])
    )
    outputs = ask(pipeline, QUESTION)
    assert (outputs["answer"], outputs["reader"]["answers"]) == (None, [])
    assert outputs["reader"]["meta"]["failure"] == "the model wrote no answer"
    assert ask(pipeline, "zebra")["reader"]["meta"]["failure"] == "there is no passage to read"
    assert ask(build_pipeline(LimRankFirstStage(retriever=index())), QUESTION)["answer"] is None


def test_what_cannot_be_used_or_serialised_is_named(folder: str):
    for arguments in ({}, {"index_path": folder, "retriever": index()}):
        with pytest.raises(InputError, match="either index_path or retriever"):
            LimRankFirstStage(**arguments)
    with pytest.raises(InputError, match="k must"):
        LimRankFirstStage(folder, top_k=0)
    with pytest.raises(InputError, match="give its folder"):
        LimRankFirstStage(retriever=index()).to_dict()
    with pytest.raises(InputError, match="ready reader"):
        LimRankReader(reader=parts()["reader"]).to_dict()
    with pytest.raises(ValueError, match="api_key cannot be serialised"):
        LimRankReader(model="m", api_key=Secret.from_token("x")).to_dict()
    with pytest.raises(ValueError, match="api_key"):
        LimRankReader(model="m", model_kwargs={"api_key": "x"})
    with pytest.raises(InputError, match="either chat_generator or model"):
        LimRankReader(model="m", chat_generator=Saying()).warm_up()
    with pytest.raises(InputError, match="retriever must be a component"):
        build_pipeline(index())
    with pytest.raises(InputError, match="no 'documents'"):
        build_pipeline(LimRankFirstStage(folder), ranker=LimRankFirstStage(folder))


@pytest.mark.parametrize("kind", [LimRankRewriter, LimRankReader])
def test_a_key_given_as_it_is_is_in_no_pickle_and_in_every_copy(kind: Any):
    made = kind(model="m", backend="openai", api_key=Secret.from_token("sk-planted"))
    with pytest.raises(ValueError, match="api_key cannot be serialised") as caught:
        pickle.dumps(made)
    assert "sk-planted" not in str(caught.value)
    assert copy.deepcopy(made).api_key.resolve_value() == "sk-planted"
    named = kind(model="m", backend="openai", api_key=Secret.from_env_var("PLANTED", strict=False))
    assert pickle.loads(pickle.dumps(named)).to_dict() == named.to_dict()
