"""First stages for Haystack: `LimRankBM25Retriever` and `LimRankLuceneRetriever`."""

from limrank_plugins.errors import require

require("haystack", "haystack", "LimRankBM25Retriever")

from haystack_integrations.components.retrievers.limrank.bm25_retriever import LimRankBM25Retriever  # noqa: E402
from haystack_integrations.components.retrievers.limrank.lucene_retriever import LimRankLuceneRetriever  # noqa: E402

__all__ = ["LimRankBM25Retriever", "LimRankLuceneRetriever"]
