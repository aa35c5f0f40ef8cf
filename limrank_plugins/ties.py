"""How ties break: which scores and which documents are equal, and what decides between them.

Equal scores are put in order by the tie-breaker (`Verdict.tie`) where every judged document has one, then by
the input, which is the first stage's order. Documents with the same text are a tie, whatever a model was made
to say about them. Elsewhere: a retriever keeps the order of its corpus (`retrievers.best`), and who reads a
run chooses a rule (`limrank_evals.runs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limrank_plugins.data import Document, Verdict


def best_first(keys: Sequence[Any]) -> list[int]:
    """Positions of the keys, the highest key first; equal keys keep their order."""
    return sorted(range(len(keys)), key=keys.__getitem__, reverse=True)


def score_keys(verdicts: Sequence[Verdict]) -> list[tuple[float, float]]:
    """Score and tie-breaker of verdicts that all have a score; verdicts with equal keys are a tie."""
    # A tie-breaker that only some documents have would favour them for having one.
    breaks = all(verdict.tie is not None for verdict in verdicts)
    return [
        (verdict.score or 0.0, verdict.tie if breaks and verdict.tie is not None else 0.0)
        for verdict in verdicts
    ]


def shared_ranks(keys: Sequence[Any]) -> list[int]:
    """From 1, the ranks of keys that stand best first; equal keys share the first of their ranks."""
    first: dict[Any, int] = {}
    return [first.setdefault(key, rank) for rank, key in enumerate(keys, start=1)]


def same_text(documents: Sequence[Document], *, priors: bool = True) -> list[int]:
    """For each document, the position of the first one that reads the same (often its own).

    Args:
        documents: compared by title and text, images and first-stage score.
        priors: False compares without the first-stage score, for prompts that do not show it.
    """
    first: dict[Any, int] = {}
    return [
        first.setdefault((document.passage, document.images, document.prior if priors else None), position)
        for position, document in enumerate(documents)
    ]


def in_input_order(order: Sequence[int], documents: Sequence[Document]) -> list[int]:
    """The order, with documents that read the same in input order among their places."""
    first = same_text(documents)
    members: dict[int, list[int]] = {}
    for position in sorted(order):
        members.setdefault(first[position], []).append(position)
    places = {position: iter(positions) for position, positions in members.items()}
    return [next(places[first[position]]) for position in order]
