"""Rewrite, retrieve, rerank, read: assembled pipelines.

Example:
    >>> from limrank_pipelines import Rewriter
    >>> from limrank_plugins import ScriptedBackend
    >>> writer = ScriptedBackend(generate=lambda prompt: "casein, denaturation")
    >>> Rewriter("keywords", backend=writer).rewrite("why does milk curdle").query.text
    'why does milk curdle casein denaturation'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.lazy import exports

if TYPE_CHECKING:
    from limrank_pipelines.hybrid import HybridRetriever as HybridRetriever
    from limrank_pipelines.rag import Answer as Answer
    from limrank_pipelines.rag import RagPipeline as RagPipeline
    from limrank_pipelines.rag import StageFailure as StageFailure
    from limrank_pipelines.reader import Citation as Citation
    from limrank_pipelines.reader import Reader as Reader
    from limrank_pipelines.reader import Reading as Reading
    from limrank_pipelines.rewriter import Rewrite as Rewrite
    from limrank_pipelines.rewriter import Rewriter as Rewriter
    from limrank_pipelines.rewriter import rewriter_names as rewriter_names

_WHERE = {
    "Answer": "rag",
    "Citation": "reader",
    "HybridRetriever": "hybrid",
    "RagPipeline": "rag",
    "Reader": "reader",
    "Reading": "reader",
    "Rewrite": "rewriter",
    "Rewriter": "rewriter",
    "StageFailure": "rag",
    "rewriter_names": "rewriter",
}
__all__ = sorted(_WHERE)
__getattr__ = exports(__name__, _WHERE)
