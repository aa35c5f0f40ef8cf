"""The Haystack components of the assembly beside the ranker: question, first stage, rewriter, reader."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError, require

require("haystack", "haystack", "limrank_pipelines.haystack_parts")

from haystack import Document, GeneratedAnswer, component, default_to_dict
from haystack.utils import ComponentDevice, Secret
from haystack_integrations.components.rankers.limrank.documents import embedded_text
from haystack_integrations.components.rankers.limrank.model_arguments import (
    API_KEY,
    Copies,
    as_secret,
    check_model_kwargs,
)

from limrank_pipelines.first_stage import FirstStage, Searcher
from limrank_pipelines.haystack_models import component_as_dict, component_from, writer_arguments
from limrank_pipelines.hybrid import HybridRetriever
from limrank_pipelines.reader import Reader, Reading
from limrank_pipelines.rewriter import Rewrite, Rewriter
from limrank_plugins import Document as Passage
from limrank_plugins import driver
from limrank_plugins.data import Query
from limrank_plugins.lazy import Lazy
from limrank_plugins.retrievers import check_k, open_retriever


@component
class LimRankQuestion:
    """Hands one question on to every component that needs it."""

    @component.output_types(query=str)
    def run(self, query: str) -> dict[str, str]:
        """Returns `query` as it is."""
        return {"query": query}


@component
class LimRankFirstStage:
    """Any first stage of limrank as a Haystack retriever.

    Args:
        index_path: a folder that `limrank index` or `save` wrote, of any kind, hybrid ones too.
        retriever: instead of it, what `RagPipeline` takes; such a component cannot be serialised.
        top_k: how many documents; default 100.

    Raises:
        ValueError: not exactly one of the two, or a `top_k` that is not a whole number > 0.
    """

    def __init__(
        self, index_path: str | None = None, *, retriever: FirstStage | None = None, top_k: int = 100
    ) -> None:
        if (index_path is None) == (retriever is None):
            raise InputError("give either index_path or retriever")
        self.index_path = index_path
        self.retriever = retriever
        self.top_k = check_k(top_k, "top_k")
        self._lazy: Lazy[Searcher] = Lazy()

    def warm_up(self) -> None:
        """Open the index, if that is not done yet."""
        self._searcher()

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary; the index stays where it is.

        Raises:
            ValueError: it holds a retriever rather than the path of an index.
        """
        if self.retriever is not None:
            raise InputError("a retriever cannot be serialised: save it, and give its folder as index_path")
        return default_to_dict(self, index_path=self.index_path, top_k=self.top_k)

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """Find documents, best first, `score` set; their titles are in `meta["title"]`."""
        return {"documents": _documents(driver.run(self._program(query, top_k)))}

    @component.output_types(documents=list[Document])
    async def run_async(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """`run` for async pipelines."""
        program = await asyncio.to_thread(self._program, query, top_k)
        return {"documents": _documents(await driver.arun(program))}

    def _searcher(self) -> Searcher:
        return self._lazy.get(
            lambda: Searcher(self.retriever if self.retriever is not None else _open_index(self.index_path))
        )

    def _program(self, query: str, top_k: int | None) -> driver.Addressed[list[list[Passage]]]:
        return self._searcher().searches(
            [Query(query)], self.top_k if top_k is None else check_k(top_k, "top_k")
        )


@component
class LimRankRewriter(Copies):
    """Rewrites the query for the retriever; ranker and reader are to get the original.

    Args:
        method: `"reasoning"`, `"hyde"` or `"keywords"`.
        chat_generator: a Haystack chat generator that writes, instead of the arguments below.
        model: folder, hub name or GGUF file, or the served model's name.
        backend: how the model is run; default `"transformers"`.
        device: where a local model runs.
        api_key: for served models; default: `OPENAI_API_KEY`.
        api_base_url: where the model is served.
        model_kwargs: more arguments of the backend, JSON-able.
        rewriter_kwargs: more arguments of `Rewriter` (`samples`, `repeat`, `max_tokens`, …).
    """

    def __init__(
        self,
        method: str = "reasoning",
        *,
        chat_generator: Any = None,
        model: str | None = None,
        backend: str = "transformers",
        device: ComponentDevice | None = None,
        api_key: Secret | None = API_KEY,
        api_base_url: str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        rewriter_kwargs: dict[str, Any] | None = None,
    ) -> None:
        check_model_kwargs(model_kwargs)
        self.method = method
        self.chat_generator = chat_generator
        self.model = model
        self.backend = backend
        self.device = device
        self.api_key = as_secret(api_key)
        self.api_base_url = api_base_url
        self.model_kwargs = model_kwargs
        self.rewriter_kwargs = rewriter_kwargs
        self._lazy: Lazy[Rewriter] = Lazy()

    def warm_up(self) -> None:
        """Load the model, if that is not done yet."""
        self._rewriter()

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary; secrets by the names of their variables."""
        return component_as_dict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LimRankRewriter":
        """The component that `to_dict` described."""
        rewriter: LimRankRewriter = component_from(cls, data)
        return rewriter

    @component.output_types(query=str, meta=dict[str, Any])
    def run(self, query: str) -> dict[str, Any]:
        """Returns the `query` to search with, and `meta`: `failure`, `repairs` and `usage`."""
        return _searchable(self._rewriter().rewrite(query))

    @component.output_types(query=str, meta=dict[str, Any])
    async def run_async(self, query: str) -> dict[str, Any]:
        """`run` for async pipelines."""
        rewriter = await asyncio.to_thread(self._rewriter)
        return _searchable(await rewriter.arewrite(query))

    def _rewriter(self) -> Rewriter:
        return self._lazy.get(self._build)

    def _build(self) -> Rewriter:
        return Rewriter(self.method, **writer_arguments(self), **(self.rewriter_kwargs or {}))


@component
class LimRankReader(Copies):
    """Answers from documents and cites them: `Reader` as a Haystack component.

    Args:
        chat_generator: a Haystack chat generator that writes, instead of the arguments below.
        reader: a ready `Reader` instead of both; such a component cannot be serialised.
        model: folder, hub name or GGUF file, or the served model's name.
        backend: how the model is run; default `"transformers"`.
        device: where a local model runs.
        api_key: for served models; default: `OPENAI_API_KEY`.
        api_base_url: where the model is served.
        model_kwargs: more arguments of the backend, JSON-able.
        reader_kwargs: more arguments of `Reader` (`max_tokens`, `recite`, `template`, …).
        meta_fields_to_embed: meta values that are read before the content; default: the title.
        embedding_separator: between those values and the content; default a space.
    """

    def __init__(
        self,
        *,
        chat_generator: Any = None,
        reader: Reader | None = None,
        model: str | None = None,
        backend: str = "transformers",
        device: ComponentDevice | None = None,
        api_key: Secret | None = API_KEY,
        api_base_url: str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        reader_kwargs: dict[str, Any] | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = " ",
    ) -> None:
        check_model_kwargs(model_kwargs)
        self.chat_generator = chat_generator
        self.reader = reader
        self.model = model
        self.backend = backend
        self.device = device
        self.api_key = as_secret(api_key)
        self.api_base_url = api_base_url
        self.model_kwargs = model_kwargs
        self.reader_kwargs = reader_kwargs
        self.meta_fields_to_embed = ["title"] if meta_fields_to_embed is None else meta_fields_to_embed
        self.embedding_separator = embedding_separator
        self._lazy: Lazy[Reader] = Lazy()

    def warm_up(self) -> None:
        """Load the model, if that is not done yet."""
        self._reader()

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary; secrets by the names of their variables.

        Raises:
            ValueError: it holds a ready `Reader`.
        """
        if self.reader is not None:
            raise InputError("a ready reader cannot be serialised: give its model and backend instead")
        return component_as_dict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LimRankReader":
        """The component that `to_dict` described."""
        reader: LimRankReader = component_from(cls, data)
        return reader

    @component.output_types(answers=list[GeneratedAnswer], meta=dict[str, Any])
    def run(self, query: str, documents: list[Document]) -> dict[str, Any]:
        """Answer from these documents, best first.

        Returns:
            `answers`: one `GeneratedAnswer` (none where there is no answer) whose `documents` are those it
            cites, in the order of its text, with the number it calls them by in `meta["source_index"]`.
            `meta`: `failure`, `abstained`, `repairs`, `cut_tokens` and `usage`.
        """
        return _answered(query, documents, self._reader().read(query, self._passages(documents)))

    @component.output_types(answers=list[GeneratedAnswer], meta=dict[str, Any])
    async def run_async(self, query: str, documents: list[Document]) -> dict[str, Any]:
        """`run` for async pipelines."""
        reader = await asyncio.to_thread(self._reader)
        return _answered(query, documents, await reader.aread(query, self._passages(documents)))

    def _reader(self) -> Reader:
        return self._lazy.get(self._build)

    def _build(self) -> Reader:
        if self.reader is not None:
            return self.reader
        return Reader(**writer_arguments(self), **(self.reader_kwargs or {}))

    def _passages(self, documents: list[Document]) -> list[str]:
        fields, separator = self.meta_fields_to_embed, self.embedding_separator
        return [embedded_text(document, fields, separator) for document in documents]


# ---- what they share ----------------------------------------------------------------------------


def _open_index(index_path: str | None) -> FirstStage:
    assert index_path is not None
    if (Path(index_path) / "hybrid.json").is_file():
        return HybridRetriever.load(index_path)
    return open_retriever(index_path)


def _documents(lists: list[list[Passage]]) -> list[Document]:
    return [
        Document(
            id=passage.id or "",
            content=passage.text,
            meta={"title": passage.title, **passage.meta} if passage.title else dict(passage.meta),
            score=passage.prior,
        )
        for passage in lists[0]
    ]


def _searchable(rewrite: Rewrite) -> dict[str, Any]:
    meta = {"failure": rewrite.failure, "repairs": rewrite.repairs, "usage": asdict(rewrite.usage)}
    return {"query": rewrite.query.text, "meta": meta}


def _answered(query: str, documents: list[Document], reading: Reading) -> dict[str, Any]:
    names = ("failure", "abstained", "repairs", "cut_tokens")
    meta = {name: getattr(reading, name) for name in names} | {"usage": asdict(reading.usage)}
    if reading.text is None:
        return {"answers": [], "meta": meta}
    cited = []
    for citation in reading.citations:
        source = documents[citation.number - 1]
        meta_numbered = {**source.meta, "source_index": citation.number}
        cited.append(Document(id=source.id, content=source.content, meta=meta_numbered, score=source.score))
    answer = GeneratedAnswer(data=reading.text, query=query, documents=cited, meta=dict(meta))
    return {"answers": [answer], "meta": meta}
