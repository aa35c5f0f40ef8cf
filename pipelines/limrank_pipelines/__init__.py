"""Rewrite, retrieve, rerank, read: assembled pipelines. So far: rewriting.

Example:
    >>> from limrank_pipelines import Rewriter
    >>> from limrank_plugins import ScriptedBackend
    >>> writer = ScriptedBackend(generate=lambda prompt: "casein, denaturation")
    >>> Rewriter("keywords", backend=writer).rewrite("why does milk curdle").query.text
    'why does milk curdle casein denaturation'
"""

from limrank_pipelines.rewriting import Rewriter, Rewritten, rewriter_names

__all__ = ["Rewriter", "Rewritten", "rewriter_names"]
