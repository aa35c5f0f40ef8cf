"""Rewrite → retrieve → rerank → read: framework-free, as a LlamaIndex query engine and as a Haystack pipeline; bulk reranking on Ray.

Nothing is built here yet.
"""
