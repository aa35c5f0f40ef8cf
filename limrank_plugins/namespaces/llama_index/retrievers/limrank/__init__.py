"""LIMRANK's first stages as LlamaIndex retrievers."""

from llama_index.retrievers.limrank.base import LimRankBM25Retriever, LimRankLuceneRetriever

__all__ = ["LimRankBM25Retriever", "LimRankLuceneRetriever"]
