"""`LimRankLuceneRetriever`: BM25 as Anserini and BEIR report it, by pyserini."""

from typing import Any

from haystack import component, default_from_dict
from haystack.document_stores.types import DocumentStore, FilterPolicy
from haystack_integrations.components.retrievers.limrank import _core as core


@component
class LimRankLuceneRetriever(core.RetrieverCore):
    """Finds documents by their words with Lucene's BM25 (k1=0.9, b=0.4), through pyserini.

    Needs `pip install 'limrank[pyserini]'`, which brings a Java runtime. The index is built over all
    documents of the store at the first search, and again when their number has changed; after replacing
    documents in place call `refresh()`. Or name the folder of an index that `limrank index` made.
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
        index_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Nothing is read here; `warm_up` does that, and `run` calls it where needed.

        Args:
            document_store: where the documents are; or
            index_path: a folder that `limrank index --retriever lucene` wrote.
            filters: which documents may be found.
            top_k: how many documents to return at most.
            filter_policy: whether filters given to `run` replace `filters` or join them.
            meta_fields_to_embed: meta values that are indexed with the content.
            index_kwargs: more arguments of `limrank_plugins.retrievers.build_retriever` (`k1`, `b`, …).

        Raises:
            ValueError: a value that cannot be used, or not exactly one source.
            TypeError: `document_store` is not one.
        """
        # Not super(): @component makes a new class, which is not the one super() would look up.
        core.RetrieverCore.__init__(self)
        core.check_source(document_store, index_path)
        core.check_top_k(top_k)
        self.document_store = document_store
        self.index_path = index_path
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = filter_policy
        self.meta_fields_to_embed = meta_fields_to_embed
        self.engine = "lucene"
        self.index_kwargs = index_kwargs

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LimRankLuceneRetriever":
        """The component that `to_dict` described."""
        return default_from_dict(cls, core.with_policy(data))
