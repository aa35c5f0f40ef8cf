"""`IndexRetriever`: a first stage of limrank as a Haystack retriever; each has one in a file beside this."""

import asyncio
import inspect
import pickle
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self, get_args

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DocumentStore, FilterPolicy, apply_filter_policy
from haystack.utils.filters import document_matches_filter

from limrank_plugins import Document as Passage
from limrank_plugins.checks import NamesArguments, whole_number
from limrank_plugins.errors import InputError, one_sentence
from limrank_plugins.lazy import deep_copied, shallow_copied
from limrank_plugins.retrievers import Retriever, build_retriever, open_retriever
from limrank_plugins.retrievers.filtered import best_matching

Watched = Literal["documents", "count"]
"""What is looked at before every search, to see whether a store has changed: documents, or their number."""

# A forked child has it, too, and the documents of the stores that this process keeps by their names.
_PROCESS = uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Index:
    """One state of the documents: never changed, only replaced."""

    retriever: Retriever | None  # None: there is nothing to search
    documents: dict[str, Document]  # empty for a folder, which holds its own
    state: tuple[int, ...]  # of the store, when they were read; see `IndexRetriever._state_of`

    @property
    def size(self) -> int:
        """How many documents can be found."""
        return len(self.retriever) if self.retriever is not None else 0

    def search(self, query: str, k: int) -> list[Document]:
        """The best `k` documents, or all that there are, as new objects with their scores."""
        k = min(k, self.size)
        passages = self.retriever.search(query, k) if self.retriever is not None and k > 0 else []
        return [_scored(self.documents.get(passage.id or ""), passage) for passage in passages]


class IndexRetriever(NamesArguments):
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
        watch: what is compared before every search. `"documents"`: ids, contents and meta of all documents,
            so that none that was deleted is found and every new one is. `"count"`: only their number, for a
            store that is slow to list; call `refresh` after replacing as many documents as you delete.

    A copy shares the index; a pickled retriever builds or loads it again at its first search.

    Raises:
        ValueError: a value that cannot be used, or not exactly one source.
        TypeError: `document_store` is not one.
    """

    engine: str
    language: str | None = None  # of components that have such an argument

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
        watch: Watched = "documents",
    ) -> None:
        """Nothing is read here; `warm_up` does that, and `run` calls it where needed."""
        _check_source(document_store, index_path)
        whole_number("top_k", top_k)
        if top_k <= 0:
            raise InputError(f"top_k must be > 0, but got {top_k}")
        if watch not in get_args(Watched):
            raise InputError(f"watch must be 'documents' or 'count', but got {watch!r}")
        self.document_store = document_store
        self.index_path = index_path
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = filter_policy
        self.meta_fields_to_embed = meta_fields_to_embed
        self.index_kwargs = index_kwargs
        self.watch: Watched = watch
        self._index: Index | None = None
        self._building = threading.Lock()

    def warm_up(self) -> None:
        """Build or load the index, if that is not done yet."""
        self._current()

    async def warm_up_async(self) -> None:
        """Build or load the index without blocking the event loop."""
        await asyncio.to_thread(self._current)

    def refresh(self) -> None:
        """Index the documents again at the next search: for changes that `watch="count"` does not see."""
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
        whole_number("top_k", limit)
        if limit < 0:
            raise InputError(f"top_k must be >= 0, but got {limit}")
        if limit == 0 or not query.strip():
            return []
        index = self._current()
        if not allowed:
            return index.search(query, limit)
        return best_matching(
            partial(index.search, query),
            partial(document_matches_filter, allowed),
            limit,
            index.size,
        )

    def _current(self) -> Index:
        store = self.document_store
        # Before the lock: searches need not wait for each other's look at the store.
        state = self._state_of(store) if store is not None else ()
        with self._building:
            index = self._index
            if index is None or index.state[: len(state)] != state:
                index = self._index = self._loaded() if store is None else self._built(store)
            return index

    def _state_of(self, store: DocumentStore) -> tuple[int, ...]:
        """The number of documents and, where they are watched, a hash of them."""
        count, index = store.count_documents(), self._index
        if self.watch == "count" or index is None or index.state[0] != count:
            return (count,)
        return count, _fingerprint(_listed(store))

    def _loaded(self) -> Index:
        assert self.index_path is not None
        retriever = open_retriever(self.index_path, **self._words())
        return Index(retriever, {}, ())

    def _built(self, store: DocumentStore) -> Index:
        documents = store.filter_documents()
        state = (len(documents),) if self.watch == "count" else (len(documents), _fingerprint(documents))
        fields = self.meta_fields_to_embed if self.meta_fields_to_embed is not None else []
        options = (self.index_kwargs if self.index_kwargs is not None else {}) | self._words()
        passages = [_passage(document, fields) for document in documents]
        retriever = build_retriever(self.engine, passages, **options) if passages else None
        return Index(retriever, {document.id: document for document in documents}, state)

    def _words(self) -> dict[str, Any]:
        return {} if self.language is None else {"language": self.language}

    # ---- copies ---------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with settings of its own; documents and index are shared."""
        return deep_copied(self, memo, shared=("document_store", "_index", "_building"))

    def __copy__(self) -> Self:
        return shallow_copied(self)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {
            "document_store": _packed(self.document_store),
            "_index": None,
            "_building": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        store = state["document_store"]
        store = store.unpacked() if isinstance(store, _PackedStore) else store
        self.__dict__.update(state | {"document_store": store, "_building": threading.Lock()})


@dataclass(frozen=True, slots=True)
class _PackedStore:
    """A store that cannot be pickled itself: what it is made from, and the documents it holds in memory."""

    kind: type[Any]
    data: dict[str, Any]
    documents: list[Document]
    process: str

    def unpacked(self) -> Any:
        """The store; where it is still there, in the process it comes from, it keeps what it holds now."""
        store = self.kind.from_dict(self.data)
        is_shared = self.data.get("init_parameters", {}).get("shared", True)
        if is_shared and self.process == _PROCESS:
            return store  # documents that were deleted since must not come back
        if self.documents and store.count_documents() == 0:
            store.write_documents(self.documents)
        return store


def _packed(store: Any) -> Any:
    """What a pickle holds in the place of a store.

    Raises:
        TypeError: it can neither be pickled nor described; the message says what to do.
    """
    try:
        pickle.dumps(store)
    except Exception as error:  # noqa: BLE001 - whatever the store's objects raise
        reason = error
    else:
        return store
    try:
        in_memory = isinstance(store, InMemoryDocumentStore)
        return _PackedStore(type(store), store.to_dict(), _listed(store) if in_memory else [], _PROCESS)
    except Exception as error:
        raise TypeError(
            f"the retriever cannot be pickled, because its {type(store).__name__} can neither be pickled "
            f"({one_sentence(reason)}) nor described ({one_sentence(error)}): use index_path instead"
        ) from error


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


def _listed(store: DocumentStore) -> list[Document]:
    """All documents, to be looked at only: the store in memory would take most of the time for copies."""
    if isinstance(store, InMemoryDocumentStore):
        return list(store.storage.values())
    return store.filter_documents()


def _fingerprint(documents: Iterable[Document]) -> int:
    """Equal for the same ids, contents and meta in the same order; only within a process.

    Fast: Python hashes a text once, however often it is asked.
    """
    return hash(tuple((document.id, document.content, _meta_hash(document.meta)) for document in documents))


def _meta_hash(meta: dict[str, Any]) -> int:
    try:
        return hash(tuple(meta.items()))
    except TypeError:  # lists or dictionaries among the values
        return hash(repr(meta))


def _passage(document: Document, fields: list[str]) -> Passage:
    values = [str(document.meta[name]) for name in fields if document.meta.get(name) is not None]
    text = document.content if document.content is not None else ""
    return Passage("\n".join([*values, text]), id=document.id)


def _scored(document: Document | None, passage: Passage) -> Document:
    if document is None:  # the folder's own
        meta = {"title": passage.title, **passage.meta} if passage.title else dict(passage.meta)
        return Document(id=passage.id or "", content=passage.text, meta=meta, score=passage.prior)
    return replace(document, score=passage.prior, meta=dict(document.meta))
