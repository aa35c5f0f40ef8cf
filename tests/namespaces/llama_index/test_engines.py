"""`LimRankRerank` inside LlamaIndex's own engines, agents and pipelines, added in one line."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLMWithChatMemoryOfLastCall
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.schema import NodeRelationship, TextNode
from llama_index.core.tools import QueryEngineTool
from llama_index.postprocessor.limrank import LimRankRerank
from llama_index.retrievers.limrank import LimRankBM25Retriever, LimRankLuceneRetriever
from scripted_nodes import QUERY, relevance

from limrank_plugins import AsyncScriptedBackend, Reranker, ScriptedBackend

PAGES = {
    "bread": "Milk bread rises because yeast makes gas in the dough.",
    "tea": "Tea is drunk with milk or with lemon.",
    "acid": "Milk clumps where acid meets casein.",
    "bad": "A bad page about milk.",
}
ADDED = ("A hidden thought", "retrieval_score", "limrank_")


class PageEmbedding(MockEmbedding):
    """Finds the pages in the order in which they are written above: the relevant one almost last."""

    def _get_text_embedding(self, text: str) -> list[float]:
        place = next(i for i, body in enumerate(PAGES.values()) if body in text)
        return [1.0, 0.1 * place]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embedding(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return [1.0, 0.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return [1.0, 0.0]


def judge(backend: type[ScriptedBackend] = ScriptedBackend, **options: Any) -> LimRankRerank:
    """Thinks, keeps everything there is to keep, and puts the page on acid first."""
    made = backend(read_labels=relevance, generate=lambda prompt: "A hidden thought.</think> true")
    return LimRankRerank(reranker=Reranker("limrank", backend=made), keep_retrieval_score=True, **options)


@pytest.fixture
def index() -> VectorStoreIndex:
    """An index over what an ingestion pipeline made."""
    documents = [Document(text=text, id_=name, metadata={"page": name}) for name, text in PAGES.items()]
    embedding = PageEmbedding(embed_dim=2)
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), embedding]
    )
    return VectorStoreIndex(pipeline.run(documents=documents), embed_model=embedding)


def pages(nodes: list[Any]) -> list[str]:
    return [node.node.metadata["page"] for node in nodes]


def check(nodes: list[Any], read: str) -> None:
    """The relevant page is first and annotated; the LLM read the pages in our order and no annotation."""
    assert pages(nodes)[0] == "acid"
    assert nodes[0].node.metadata["limrank_explanation"] == "A hidden thought."
    assert nodes[0].score == pytest.approx(0.8808, abs=1e-4)
    places = [read.index(PAGES[page]) for page in pages(nodes)]
    assert places == sorted(places)
    assert not [text for text in ADDED if text in read]


@pytest.mark.parametrize("path", ["sync", "async"])
@pytest.mark.parametrize("backend", [ScriptedBackend, AsyncScriptedBackend])
async def test_query_engine_of_an_index(
    path: str, backend: type[ScriptedBackend], index: VectorStoreIndex
) -> None:
    options: dict[str, Any] = {"similarity_top_k": 4, "llm": MockLLM()}
    before = index.as_query_engine(**options)
    after = index.as_query_engine(**options, node_postprocessors=[judge(backend)])

    async def ask(engine: Any) -> Any:
        return await engine.aquery(QUERY) if path == "async" else engine.query(QUERY)

    assert pages((await ask(before)).source_nodes) == list(PAGES)
    answer = await ask(after)
    assert pages(answer.source_nodes) == ["acid", "bread", "tea", "bad"]
    check(answer.source_nodes, str(answer))
    assert answer.source_nodes[3].score is None
    assert answer.source_nodes[3].node.metadata["limrank_failure"] == "the model said nothing"


@pytest.mark.parametrize("mode", ["refine", "tree_summarize", "compact_accumulate"])
def test_every_way_to_synthesise(mode: str, index: VectorStoreIndex) -> None:
    engine = index.as_query_engine(
        similarity_top_k=4, llm=MockLLM(), node_postprocessors=[judge(top_n=1)], response_mode=mode
    )
    answer = engine.query(QUERY)
    check(answer.source_nodes, str(answer))


async def test_retriever_query_engine_over_bm25(index: VectorStoreIndex, observed: Any) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([debug])
    retriever = LimRankBM25Retriever.from_defaults(index=index, similarity_top_k=10)
    engine = RetrieverQueryEngine.from_args(
        retriever, llm=MockLLM(), node_postprocessors=[judge(top_n=2)], callback_manager=manager
    )
    for answer in (engine.query(QUERY), await engine.aquery(QUERY)):
        check(answer.source_nodes, str(answer))
        first = answer.source_nodes[0].node
        assert first.relationships[NodeRelationship.SOURCE].node_id == "acid"
        assert first.metadata["retrieval_score"] > 0
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 2  # the engine's own manager is used
    assert sum(isinstance(e, ReRankStartEvent) for e in observed.events) == 2
    assert sum(isinstance(e, ReRankEndEvent) for e in observed.events) == 2


def test_among_other_postprocessors(index: VectorStoreIndex) -> None:
    engine = index.as_query_engine(
        similarity_top_k=4,
        llm=MockLLM(),
        node_postprocessors=[judge(), SimilarityPostprocessor(similarity_cutoff=0.5), judge(top_n=3)],
    )
    answer = engine.query(QUERY)
    assert pages(answer.source_nodes) == ["acid"]  # LlamaIndex's own filter drops nodes without a score
    check(answer.source_nodes, str(answer))


async def test_citation_query_engine(index: VectorStoreIndex) -> None:
    engine = CitationQueryEngine.from_args(
        index, llm=MockLLM(), similarity_top_k=4, node_postprocessors=[judge(top_n=2)]
    )
    for answer in (engine.query(QUERY), await engine.aquery(QUERY)):
        assert str(answer).index(f"Source 1:\n{PAGES['acid']}") > 0
        check(answer.source_nodes, str(answer))


def memory(llm: Any) -> ChatMemoryBuffer:
    """The default memory of agents and chat engines leaves aiosqlite connections open, which warns."""
    return ChatMemoryBuffer.from_defaults(llm=llm)


@pytest.mark.parametrize("kind", [ContextChatEngine, CondensePlusContextChatEngine])
async def test_chat_engines(kind: Any, index: VectorStoreIndex) -> None:
    llm = MockLLMWithChatMemoryOfLastCall(is_chat_model=True)
    engine = kind.from_defaults(
        index.as_retriever(similarity_top_k=4),
        llm=llm,
        memory=memory(llm),
        node_postprocessors=[judge(top_n=2)],
    )
    for turn in range(2):
        answer = await engine.achat(QUERY) if turn else engine.chat(QUERY)
        read = "\n".join(str(message.content) for message in llm.last_chat_messages)
        check(answer.source_nodes, read)


def calls_the_tool_once(messages: Any, **kwargs: Any) -> ChatMessage:
    """A model that asks the tool first and then repeats what the tool said."""
    said = [message for message in messages if message.role == MessageRole.TOOL]
    if said:
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"The tool said: {said[-1].content}")
    call = ToolCallBlock(tool_call_id="1", tool_name="book", tool_kwargs={"input": QUERY})
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[call])


async def test_an_agent_that_calls_the_engine_as_a_tool(index: VectorStoreIndex) -> None:
    engine = index.as_query_engine(
        similarity_top_k=4, llm=MockLLM(), node_postprocessors=[judge(AsyncScriptedBackend, top_n=2)]
    )
    tool = QueryEngineTool.from_defaults(engine, name="book", description="Knows about milk.")
    llm = MockFunctionCallingLLM(response_generator=calls_the_tool_once, is_chat_model=True)
    answer = await FunctionAgent(tools=[tool], llm=llm).run(QUERY, memory=memory(llm))
    assert str(answer).startswith("The tool said: ")
    check(answer.tool_calls[0].tool_output.raw_output.source_nodes, str(answer))


def test_a_retriever_alone_can_be_postprocessed(index: VectorStoreIndex) -> None:
    found = index.as_retriever(similarity_top_k=4).retrieve(QUERY)
    assert pages(judge(top_n=1).postprocess_nodes(found, query_str=QUERY)) == ["acid"]


@pytest.mark.parametrize("used", [False, True])
def test_an_engine_is_pickled_and_copied_without_the_key(used: bool) -> None:
    nodes = [TextNode(text=text, id_=name) for name, text in PAGES.items()]
    engine = RetrieverQueryEngine.from_args(
        LimRankBM25Retriever.from_defaults(nodes=nodes, similarity_top_k=4),
        llm=MockLLM(),
        node_postprocessors=[LimRankRerank(recipe="prior", top_n=2)],
    )
    if used:
        engine.query("milk in dough")
    wanted = [found.node.node_id for found in engine.query("milk in dough").source_nodes]
    assert len(wanted) == 2
    for again in (pickle.loads(pickle.dumps(engine)), copy.deepcopy(engine)):
        assert [found.node.node_id for found in again.query("milk in dough").source_nodes] == wanted
    served = LimRankRerank(backend="openai", model="m", api_key="sk-planted")
    assert copy.deepcopy(served).api_key == served.api_key
    assert b"sk-planted" not in pickle.dumps(served)


@pytest.mark.lucene
def test_a_lucene_retriever_is_pickled_once_it_is_persisted(tmp_path: Path) -> None:
    pytest.importorskip("pyserini", reason="pip install 'limrank[pyserini]'")
    nodes = [TextNode(text=text, id_=name) for name, text in PAGES.items()]
    retriever = LimRankLuceneRetriever.from_defaults(nodes=nodes, similarity_top_k=1)
    with pytest.raises(TypeError, match="it lies in a temporary folder"):
        pickle.dumps(retriever)
    retriever.persist(tmp_path / "index")
    for again in (pickle.loads(pickle.dumps(retriever)), copy.deepcopy(retriever)):
        assert [found.node.node_id for found in again.retrieve("casein")] == ["acid"]
