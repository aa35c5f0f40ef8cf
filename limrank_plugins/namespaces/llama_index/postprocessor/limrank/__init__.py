"""LIMRANK, the reasoning reranker, as a LlamaIndex node postprocessor."""

from limrank_plugins.errors import require

require("llama_index.core", "llama-index", "LimRankRerank")

from llama_index.postprocessor.limrank.base import LimRankRerank  # noqa: E402

__all__ = ["LimRankRerank"]
