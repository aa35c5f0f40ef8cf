"""The assembly as a LlamaIndex query engine: `query_engine` puts the parts into a `RetrieverQueryEngine`.

Import it where llama-index-core is installed: `pip install 'limrank[llama-index]'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from limrank_plugins.errors import InputError, require

require("llama_index.core", "llama-index", "limrank_pipelines.llama_index")

from llama_index.core import Settings
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.base.response.schema import RESPONSE_TYPE, Response
from llama_index.core.llms import LLM, MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index.postprocessor.limrank import LimRankRerank

from limrank_pipelines.chats import ChatBackend, Messages
from limrank_pipelines.first_stage import FirstStage, Searcher
from limrank_pipelines.reader import Reader, Reading
from limrank_pipelines.rewriter import Rewriter
from limrank_plugins import driver
from limrank_plugins.data import Document, Query
from limrank_plugins.reranker import Reranker
from limrank_plugins.retrievers import check_k


def query_engine(
    retriever: BaseRetriever | FirstStage,
    *,
    rewriter: Rewriter | None = None,
    reranker: LimRankRerank | Reranker | None = None,
    reader: Reader | LLM | None = None,
    k: int = 100,
    top_n: int = 5,
) -> RetrieverQueryEngine:
    """Rewrite, retrieve, rerank, read, as `RagPipeline` does, with LlamaIndex's events and callbacks.

    Args:
        retriever: LlamaIndex's own, or anything that `RagPipeline` takes.
        rewriter: rewrites the query for the retriever alone; default: none.
        reranker: a `LimRankRerank` as it is, whose own `top_n` counts; or a `Reranker`; default: none.
        reader: a `Reader`, or an LLM of LlamaIndex, which is asked as a `Reader` asks; default:
            `Settings.llm`.
        k: how many passages the first stage hands on; LlamaIndex's own retrievers have their own
            number (`similarity_top_k`).
        top_n: how many of the best the reader is shown; default 5.

    Returns:
        The engine. Its responses name the passages they rest on: `metadata["limrank_citations"]` lists
        `number` and `node_id`, and `metadata["limrank_reading"]` has `failure`, `abstained`,
        `repairs`, `cut_tokens` and `usage`. Without an answer the text is LlamaIndex's "Empty Response".

    Raises:
        InputError: a value that cannot be used.
    """
    if isinstance(reranker, LimRankRerank):
        cut: BaseNodePostprocessor = reranker
    elif reranker is not None:
        cut = LimRankRerank(reranker=reranker, top_n=top_n)
    else:
        cut = TopNodes(top_n=top_n)
    return RetrieverQueryEngine(
        retriever=RewritingRetriever(retriever, rewriter=rewriter, k=k),
        response_synthesizer=CitedSynthesizer(reader),
        node_postprocessors=[cut],
    )


class RewritingRetriever(BaseRetriever):
    """A first stage of either kind, searched with the rewritten query; everybody else gets the original.

    A document of ours becomes a `TextNode` of its text. LLM and embedding model read its title before that,
    and no other metadata.

    Args:
        first: LlamaIndex's own retriever, or anything that `RagPipeline` takes.
        rewriter: default: none.
        k: how many passages at most; LlamaIndex's own retrievers have their own number.
    """

    def __init__(
        self, first: BaseRetriever | FirstStage, *, rewriter: Rewriter | None = None, k: int = 100
    ) -> None:
        super().__init__()
        self._retriever = first if isinstance(first, BaseRetriever) else None
        self._searcher = None if isinstance(first, BaseRetriever) else Searcher(first)
        self._rewriter = rewriter
        self._k = check_k(k)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._rewriter is not None:
            query_bundle = QueryBundle(self._rewriter.rewrite(query_bundle.query_str).query.text)
        if self._retriever is not None:
            return self._retriever.retrieve(query_bundle)
        return _nodes(driver.run(self._search(query_bundle)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._rewriter is not None:
            rewritten = await self._rewriter.arewrite(query_bundle.query_str)
            query_bundle = QueryBundle(rewritten.query.text)
        if self._retriever is not None:
            return await self._retriever.aretrieve(query_bundle)
        return _nodes(await driver.arun(self._search(query_bundle)))

    def _search(self, query_bundle: QueryBundle) -> driver.Addressed[list[list[Document]]]:
        assert self._searcher is not None
        return self._searcher.searches([Query(query_bundle.query_str)], self._k)


class TopNodes(BaseNodePostprocessor):
    """Keeps the first `top_n` nodes, in their order."""

    top_n: int

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised pipelines."""
        return "LimRankBest"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return nodes[: self.top_n]


class CitedSynthesizer(BaseSynthesizer):
    """A response synthesizer that lets a `Reader` write: numbered passages, citations, nothing made up.

    Args:
        reader: a `Reader`, or an LLM of LlamaIndex; default: `Settings.llm`.
    """

    def __init__(self, reader: Reader | LLM | None = None) -> None:
        if reader is None:
            reader = Settings.llm
        if not isinstance(reader, Reader | LLM):
            raise InputError(f"reader must be a Reader or an LLM of LlamaIndex, not {type(reader).__name__}")
        # The base class wants an LLM, and takes OpenAI's where it gets none.
        super().__init__(llm=reader if isinstance(reader, LLM) else MockLLM())
        self.reader = reader if isinstance(reader, Reader) else Reader(backend=llm_backend(reader))

    def get_response(
        self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """The answer to a question from these texts."""
        return self._answer_text(self.reader.read(query_str, list(text_chunks)))

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """`get_response` for async code."""
        return self._answer_text(await self.reader.aread(query_str, list(text_chunks)))

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts_dict: dict[str, Any]) -> None:
        raise InputError("the prompt is the reader's: Reader(template='mine.toml')")

    def _answer_text(self, reading: Reading) -> _AnswerText:
        text = _AnswerText(self._empty_response if reading.text is None else reading.text)
        text.reading = reading
        return text

    def _prepare_response_output(
        self, response_str: RESPONSE_TEXT_TYPE | None, source_nodes: list[NodeWithScore]
    ) -> RESPONSE_TYPE:
        if not isinstance(response_str, _AnswerText):
            return super()._prepare_response_output(response_str, source_nodes)
        reading = response_str.reading
        names = ("failure", "abstained", "repairs", "cut_tokens")
        metadata = self._get_metadata_for_response([node.node for node in source_nodes]) or {}
        metadata["limrank_citations"] = [
            {"number": citation.number, "node_id": source_nodes[citation.number - 1].node.node_id}
            for citation in reading.citations
        ]
        metadata["limrank_reading"] = {name: getattr(reading, name) for name in names} | {
            "usage": asdict(reading.usage)
        }
        return Response(str.__str__(response_str), source_nodes=source_nodes, metadata=metadata)


def llm_backend(llm: LLM) -> ChatBackend:
    """An LLM of LlamaIndex as a backend that writes; its own settings decide how it draws."""
    return ChatBackend(llm.class_name(), partial(_write, llm))  # a partial of a function can be pickled


def _write(llm: LLM, messages: Messages) -> str:
    chat = [ChatMessage(role=role, content=text) for role, text in messages]
    return llm.chat(chat).message.content or ""


class _AnswerText(str):
    """An answer's text on its way through the base class, with the reading it comes from."""

    reading: Reading


def _nodes(lists: list[list[Document]]) -> list[NodeWithScore]:
    nodes = []
    for document in lists[0]:
        heading = {"title": document.title} if document.title else {}
        hidden = [key for key in document.meta if key not in heading]
        node = TextNode(
            text=document.text,
            id_=document.id or "",
            metadata=dict(document.meta) | heading,
            excluded_embed_metadata_keys=hidden,
            excluded_llm_metadata_keys=hidden,
            metadata_template="{value}",
            text_template="{metadata_str} {content}",
        )
        nodes.append(NodeWithScore(node=node, score=document.prior))
    return nodes
