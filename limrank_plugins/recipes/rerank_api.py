"""Reranking services: a server reads query and passages and gives each a score of its own making."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.data import ScoreKind
from limrank_plugins.errors import InputError
from limrank_plugins.readouts import Readout
from limrank_plugins.readouts.classes import JointClasses
from limrank_plugins.readouts.pairs import PairScore
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks, Once, Schedule


def recipe(
    mode: Literal["pair", "list"] = "pair", scores: Literal["relevance", "probability", "logit"] = "relevance"
) -> Recipe:
    """The recipe for a model that reads the whole list, or for one whose scores are known to mean something.

    Args:
        mode: `"pair"` for models that read query and passage alone, as nearly all do: passages may be asked
            about in several calls, and known ones are not asked about again. `"list"` for models that read
            the passages together (jina-reranker-v3): one call, whose scores hold for this list only.
        scores: what the model behind the server gives. `"relevance"` claims nothing; `"probability"` and
            `"logit"` mean the same for every query, so thresholds can be used. A probability outside [0, 1]
            is a failure.

    Raises:
        InputError: another value, or comparable scores of a model that reads the whole list.
    """
    if mode not in ("pair", "list"):
        raise InputError(f"mode must be 'pair' or 'list', but got {mode!r}")
    if scores not in ("relevance", "probability", "logit"):
        raise InputError(f"scores must be 'relevance', 'probability' or 'logit', but got {scores!r}")
    if mode == "list" and scores != "relevance":
        raise InputError(f"mode='list' gives scores that depend on the list, which scores={scores!r} denies")
    is_pair = mode == "pair"
    pairs = PairScore(comparable=scores != "relevance", probability=scores == "probability")
    readout: Readout = pairs if is_pair else JointClasses()
    schedule: Schedule = Chunks(1) if is_pair else Once()
    kind: ScoreKind = scores
    return Recipe(
        name="rerank-api",
        summary="the score of a /rerank server or service: Cohere, Jina, Voyage, TEI, vLLM, llama-server, …",
        oracle="score",
        readout=readout,
        schedule=schedule,
        score_kind=kind,
        backend="rerank-api",
        model="rerank-v3.5",
        calls="N, up to 100 of them in one request" if is_pair else "samples",
        tokens="N·(Q + D)" if is_pair else "samples · (Q + N·D)",
        paper="none: it is whatever is served",
        licence="the provider's",
    )


RECIPE = recipe()
