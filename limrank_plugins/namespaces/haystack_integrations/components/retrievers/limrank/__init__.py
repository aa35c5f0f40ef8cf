"""First stages for Haystack: `LimRankBM25Retriever` and `LimRankLuceneRetriever`."""

from haystack_integrations.components.retrievers.limrank.bm25_retriever import LimRankBM25Retriever
from haystack_integrations.components.retrievers.limrank.lucene_retriever import LimRankLuceneRetriever

__all__ = ["LimRankBM25Retriever", "LimRankLuceneRetriever"]
