"""What a plug-in writes of a hit into its framework's metadata: for LlamaIndex and LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from limrank_plugins.data import Hit
from limrank_plugins.secrecy import redacted

KEYS = ("limrank_explanation", "limrank_failure", "limrank_cut_tokens", "limrank_piece")
"""Every key; what an earlier reranker wrote under one must not be taken for what this one says."""


def hit_metadata(
    hit: Hit, secrets: Sequence[str], *, with_explanation: bool = True, start: int = 0
) -> dict[str, Any]:
    """What there is to know of a hit beside its score, under `KEYS`; what is not so is left out.

    Args:
        hit: of a ranking.
        secrets: what servers like to quote when they refuse it.
        with_explanation: keep the model's reasoning.
        start: where the document's own text begins in what was read of it, from where a piece is counted.
    """
    metadata: dict[str, Any] = {}
    if with_explanation and hit.explanation is not None:
        metadata["limrank_explanation"] = hit.explanation
    if hit.failure is not None:
        metadata["limrank_failure"] = redacted(hit.failure, secrets)
    if hit.cut_tokens:
        metadata["limrank_cut_tokens"] = hit.cut_tokens
    if hit.piece is not None:
        metadata["limrank_piece"] = asdict(hit.piece.counted_from(start))
    return metadata
