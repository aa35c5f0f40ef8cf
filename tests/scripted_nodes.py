"""Nodes and a scripted judge for the tests of the LlamaIndex components; needs llama-index-core."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.limrank import LimRankRerank
from scripts import passage_of

from limrank_plugins import Reranker, ScriptedBackend, ScriptedFailure

QUERY = "why does milk go lumpy in tea"


def relevance(prompt: Any) -> tuple[float, float]:
    """Acid is relevant, a bad passage cannot be judged, the rest is not relevant."""
    text = passage_of(prompt)
    if "bad" in text:
        raise ScriptedFailure("the model said nothing")
    return (2.0, 0.0) if "acid" in text else (0.0, 1.0 + text.count("!"))


def rerank(**options: Any) -> LimRankRerank:
    """A postprocessor that reads `relevance` from a forward pass."""
    made = Reranker("limrank", backend=ScriptedBackend(read_labels=relevance), reasoning="none")
    return LimRankRerank(reranker=made, **options)


def nodes(*texts: str, **options: Any) -> list[NodeWithScore]:
    """Nodes called n0, n1, … with falling retrieval scores."""
    return [
        NodeWithScore(node=TextNode(text=text, id_=f"n{i}", **options), score=1.0 - i / 10)
        for i, text in enumerate(texts)
    ]


def ids(found: list[NodeWithScore]) -> list[str]:
    return [node.node.node_id for node in found]
