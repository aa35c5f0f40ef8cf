"""`LimRankBM25Retriever`: fast BM25 over any document store, or over an index on disk."""

from typing import Any

from haystack import component
from haystack.document_stores.types import DocumentStore, FilterPolicy
from haystack_integrations.components.retrievers.limrank.index_retriever import IndexRetriever, Watched

from limrank_plugins.retrievers.languages import AUTO, language_named


@component
class LimRankBM25Retriever(IndexRetriever):
    """Finds documents by their words (BM25, by bm25s), in memory.

    The index is built over all documents of the store at the first search, and again when they have
    changed (see `watch`). Or name the folder of an index that `limrank index` made. Scores are not scaled: a
    BM25 score means nothing for another query.

    Args:
        document_store: as all others, see `IndexRetriever`.
        engine: `"bm25s"`, or `"rank_bm25"` for its exact scores.
        language: of the documents, for stop words and stems: `"german"`, `"de"`, …, or `"auto"`, which looks
            at a sample. Default: English for a store, the index's own for a folder. A folder of another
            language is an error.

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
        watch: Watched = "documents",
        language: str | None = None,
    ) -> None:
        """Nothing is read here; `warm_up` does that, and `run` calls it where needed."""
        # Not super(): @component makes a new class, which is not the one super() would look up.
        IndexRetriever.__init__(
            self,
            document_store,
            index_path=index_path,
            filters=filters,
            top_k=top_k,
            filter_policy=filter_policy,
            meta_fields_to_embed=meta_fields_to_embed,
            index_kwargs=index_kwargs,
            watch=watch,
        )
        if engine not in ("bm25s", "rank_bm25"):
            raise ValueError(f"engine must be 'bm25s' or 'rank_bm25', but got {engine!r}")
        self.engine = engine
        if language not in (None, AUTO):
            language_named(language)  # an unknown one is said now, not at the first search
        self.language = language
