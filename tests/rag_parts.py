"""A small corpus and scripted parts of a pipeline, for the tests of all three assemblies."""

from __future__ import annotations

from typing import Any

from scripts import passage_of, passages_of

from limrank_pipelines import Reader, Rewriter
from limrank_plugins import AsyncScriptedBackend, Document, Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.retrievers import build_retriever

CORPUS = [
    Document("Bread rises because yeast makes gas.", id="bread"),
    Document("The stand sells lemon tea and cake.", id="stand"),
    Document("Acid makes the casein of milk curdle.", id="acid"),
    Document("Tides follow the moon.", id="moon"),
]
QUESTION = "why does milk go lumpy in lemon tea"


def relevance(prompt: Any) -> tuple[float, float]:
    passage = passage_of(prompt)
    if "moon" in passage:
        raise ScriptedFailure("too far away")
    return (2.0, 0.0) if "casein" in passage else (0.0, 1.0)


def parts(*, asynchronous: bool = False, **scripts: Any) -> dict[str, Any]:
    """A rewriter that knows the word, a judge that knows the passage, a reader that cites the first."""
    kind = AsyncScriptedBackend if asynchronous else ScriptedBackend
    writes = scripts.get("rewrite", lambda prompt: "casein")
    reads = scripts.get("read", lambda prompt: f"{passages_of(prompt)[0]} [1]")
    return {
        "rewriter": Rewriter("keywords", backend=kind(generate=writes, identity="rewriter")),
        "reranker": Reranker("limrank", backend=kind(read_labels=relevance), reasoning="none"),
        "reader": Reader(backend=kind(generate=reads, identity="reader")),
    }


def index() -> Any:
    return build_retriever("bm25s", CORPUS)
