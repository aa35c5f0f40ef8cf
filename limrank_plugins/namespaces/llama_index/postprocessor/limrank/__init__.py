"""LIMRANK, the reasoning reranker, as a LlamaIndex node postprocessor."""

from llama_index.postprocessor.limrank.base import LimRankRerank

__all__ = ["LimRankRerank"]
