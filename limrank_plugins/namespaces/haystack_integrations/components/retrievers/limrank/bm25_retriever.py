"""`LimRankBM25Retriever`: fast BM25 over any document store, or over an index on disk."""

from typing import Any

from haystack import component, default_from_dict
from haystack.document_stores.types import DocumentStore, FilterPolicy
from haystack_integrations.components.retrievers.limrank import _core as core


@component
class LimRankBM25Retriever(core.RetrieverCore):
    """Finds documents by their words (BM25, by bm25s), in memory.

    The index is built over all documents of the store at the first search, and again when their number
    has changed; after replacing documents in place call `refresh()`. Or name the folder of an index that
    `limrank index` made. Scores are not scaled: a BM25 score means nothing for another query.

    Example:
        ```python
        from haystack import Document
        from haystack.document_stores.in_memory import InMemoryDocumentStore
        from haystack_integrations.components.retrievers.limrank import LimRankBM25Retriever

        store = InMemoryDocumentStore()
        store.write_documents([Document(content="Acid curdles milk."), Document(content="Bread rises.")])
        LimRankBM25Retriever(store, top_k=1).run(query="curdled milk")["documents"]
        ```
    """

    def __init__(
        self,
        document_store: DocumentStore | None = None,
        *,
        index_path: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
        meta_fields_to_embed: list[str] | None = None,
        engine: str = "bm25s",
        index_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Nothing is read here; `warm_up` does that, and `run` calls it where needed.

        Args:
            document_store: where the documents are; or
            index_path: a folder that `limrank index` wrote.
            filters: which documents may be found.
            top_k: how many documents to return at most.
            filter_policy: whether filters given to `run` replace `filters` or join them.
            meta_fields_to_embed: meta values that are indexed with the content.
            engine: `"bm25s"`, or `"rank_bm25"` for its exact scores.
            index_kwargs: more arguments of `limrank_plugins.retrievers.build_retriever` (`k1`, `b`, …).

        Raises:
            ValueError: a value that cannot be used, or not exactly one source.
            TypeError: `document_store` is not one.
        """
        # Not super(): @component makes a new class, which is not the one super() would look up.
        core.RetrieverCore.__init__(self)
        core.check_source(document_store, index_path)
        core.check_top_k(top_k)
        if engine not in ("bm25s", "rank_bm25"):
            raise ValueError(f"engine must be 'bm25s' or 'rank_bm25', but got {engine!r}")
        self.document_store = document_store
        self.index_path = index_path
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = filter_policy
        self.meta_fields_to_embed = meta_fields_to_embed
        self.engine = engine
        self.index_kwargs = index_kwargs

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LimRankBM25Retriever":
        """The component that `to_dict` described."""
        return default_from_dict(cls, core.with_policy(data))
