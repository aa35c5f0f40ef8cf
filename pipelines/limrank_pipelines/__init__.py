"""Rewrite, retrieve, rerank, read: assembled pipelines.

Example:
    >>> from limrank_pipelines import Rewriter
    >>> from limrank_plugins import ScriptedBackend
    >>> writer = ScriptedBackend(generate=lambda prompt: "casein, denaturation")
    >>> Rewriter("keywords", backend=writer).rewrite("why does milk curdle").query.text
    'why does milk curdle casein denaturation'
"""

from limrank_pipelines.hybrid import HybridRetriever
from limrank_pipelines.rag import Answer, RagPipeline, StageFailure
from limrank_pipelines.reader import Citation, Reader, Reading
from limrank_pipelines.rewriter import Rewrite, Rewriter, rewriter_names

__all__ = [
    "Answer",
    "Citation",
    "HybridRetriever",
    "RagPipeline",
    "Reader",
    "Reading",
    "Rewriter",
    "Rewrite",
    "StageFailure",
    "rewriter_names",
]
