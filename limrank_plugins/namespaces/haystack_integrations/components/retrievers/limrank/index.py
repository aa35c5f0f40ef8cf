"""`IndexRetriever`: a first stage of limrank as a Haystack retriever; each has one in a file beside this."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import DocumentStore, FilterPolicy, apply_filter_policy
from haystack.utils.filters import document_matches_filter

from limrank_plugins import Document as Passage
from limrank_plugins.retrievers import Retriever, build_retriever, load_retriever


@dataclass(frozen=True, slots=True)
class Index:
    """One state of the documents: never changed, only replaced."""

    retriever: Retriever | None  # None: there is nothing to search
    documents: dict[str, Document]  # empty for a folder, which holds its own
    count: int  # what the store said when they were read

    @property
    def size(self) -> int:
        """How many documents can be found."""
        return len(self.retriever) if self.retriever is not None else 0

    def search(self, query: str, k: int) -> list[Document]:
        """The best `k` documents, or all that there are, as new objects with their scores."""
        k = min(k, self.size)
        passages = self.retriever.search(query, k) if self.retriever is not None and k > 0 else []
        return [_scored(self.documents.get(passage.id or ""), passage) for passage in passages]


class IndexRetriever:
    """Keeps an index over a document store or of a folder, searches it, filters.

    A component is a subclass that names its `engine` (and has further arguments, if it needs any).

    Args:
        document_store: where the documents are; or
        index_path: a folder that `limrank index` wrote for this first stage.
        filters: which documents may be found.
        top_k: how many documents to return at most.
        filter_policy: whether filters given to `run` replace `filters` or join them.
        meta_fields_to_embed: meta values that are indexed with the content.
        index_kwargs: more arguments of `limrank_plugins.retrievers.build_retriever` (`k1`, `b`, …).

    Raises:
        ValueError: a value that cannot be used, or not exactly one source.
        TypeError: `document_store` is not one.
    """

    engine: str

    def __init__(
        self,
        document_store: DocumentStore | None = None,
        *,
        index_path: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
        meta_fields_to_embed: list[str] | None = None,
        index_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Nothing is read here; `warm_up` does that, and `run` calls it where needed."""
        _check_source(document_store, index_path)
        if top_k <= 0:
            raise ValueError(f"top_k must be > 0, but got {top_k}")
        self.document_store = document_store
        self.index_path = index_path
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = filter_policy
        self.meta_fields_to_embed = meta_fields_to_embed
        self.index_kwargs = index_kwargs
        self._index: Index | None = None
        self._building = threading.Lock()

    def warm_up(self) -> None:
        """Build or load the index, if that is not done yet."""
        self._current()

    async def warm_up_async(self) -> None:
        """Build or load the index without blocking the event loop."""
        await asyncio.to_thread(self._current)

    def refresh(self) -> None:
        """Index the documents again at the next search: for documents that were replaced in place."""
        self._index = None

    def close(self) -> None:
        """Release the index. The next `run` makes it again."""
        self._index = None

    async def close_async(self) -> None:
        """Release the index."""
        self.close()

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary; documents and index stay where they are."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        values = {name: getattr(self, name) for name in names}
        return default_to_dict(self, **values | {"filter_policy": self.filter_policy.value})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` described; the argument stays as it is."""
        parameters = dict(data.get("init_parameters", {}))
        if isinstance(parameters.get("filter_policy"), str):
            parameters["filter_policy"] = FilterPolicy.from_str(parameters["filter_policy"])
        retriever: Self = default_from_dict(cls, data | {"init_parameters": parameters})
        return retriever

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Find documents.

        Args:
            query: the words to look for. None of them, or none that is known: no documents.
            filters: which documents may be found; with the initial ones as `filter_policy` says.
            top_k: how many at most, 0 for none; default: as initialised.

        Returns:
            `documents`: new documents, best first, `score` set. Those without a matching word are left out.

        Raises:
            ValueError: a negative `top_k`.
        """
        return {"documents": self._search(query, filters, top_k)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run` for async pipelines: building and searching do not block the event loop."""
        return {"documents": await asyncio.to_thread(self._search, query, filters, top_k)}

    def _search(self, query: str, filters: dict[str, Any] | None, top_k: int | None) -> list[Document]:
        allowed = apply_filter_policy(self.filter_policy, self.filters, filters)
        limit = self.top_k if top_k is None else top_k
        if limit < 0:
            raise ValueError(f"top_k must be >= 0, but got {limit}")
        if limit == 0 or not query.strip():
            return []
        index = self._current()
        if not allowed:
            return index.search(query, limit)
        for candidates in _widening(index, query, limit):
            matching = [document for document in candidates if document_matches_filter(allowed, document)]
            if len(matching) >= limit:
                break
        return matching[:limit]

    def _current(self) -> Index:
        store = self.document_store
        with self._building:
            index = self._index
            # Counting is what every store does cheaply; see `refresh` for what it cannot see.
            count = store.count_documents() if store is not None else 0
            if index is None or (store is not None and index.count != count):
                index = self._index = self._loaded() if store is None else self._built(store, count)
            return index

    def _loaded(self) -> Index:
        assert self.index_path is not None
        retriever = load_retriever(self.index_path)
        return Index(retriever, {}, len(retriever))

    def _built(self, store: DocumentStore, count: int) -> Index:
        documents = store.filter_documents()
        fields = self.meta_fields_to_embed if self.meta_fields_to_embed is not None else []
        options = self.index_kwargs if self.index_kwargs is not None else {}
        passages = [_passage(document, fields) for document in documents]
        retriever = build_retriever(self.engine, passages, **options) if passages else None
        return Index(retriever, {document.id: document for document in documents}, count)


def _check_source(document_store: object, index_path: object) -> None:
    if (document_store is None) == (index_path is None):
        raise ValueError("give either document_store or index_path")
    if document_store is not None and not all(
        callable(getattr(document_store, name, None)) for name in ("count_documents", "filter_documents")
    ):
        raise TypeError(
            f"document_store must be a DocumentStore, but got {type(document_store).__name__}: "
            f"write documents into an InMemoryDocumentStore first"
        )


def _widening(index: Index, query: str, limit: int) -> Iterator[list[Document]]:
    """Ever longer result lists, until all that match are in: a filter may leave little of the first."""
    k = max(10 * limit, 100)
    candidates = index.search(query, k)
    yield candidates
    while len(candidates) == k < index.size:
        k *= 10
        candidates = index.search(query, k)
        yield candidates


def _passage(document: Document, fields: list[str]) -> Passage:
    values = [str(document.meta[name]) for name in fields if document.meta.get(name) is not None]
    text = document.content if document.content is not None else ""
    return Passage("\n".join([*values, text]), id=document.id)


def _scored(document: Document | None, passage: Passage) -> Document:
    if document is None:  # the folder's own
        meta = {"title": passage.title, **passage.meta} if passage.title else dict(passage.meta)
        return Document(id=passage.id or "", content=passage.text, meta=meta, score=passage.prior)
    return replace(document, score=passage.prior, meta=dict(document.meta))
