"""LIMRANK's first stages as LlamaIndex retrievers."""

from limrank_plugins.errors import require

require("llama_index.core", "llama-index", "LimRankBM25Retriever")

from llama_index.retrievers.limrank.base import LimRankBM25Retriever, LimRankLuceneRetriever  # noqa: E402

__all__ = ["LimRankBM25Retriever", "LimRankLuceneRetriever"]
