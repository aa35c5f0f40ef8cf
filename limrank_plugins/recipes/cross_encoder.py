"""Cross-encoders (arXiv 1901.04085): a model reads query and passage together and gives one number."""

from __future__ import annotations

from limrank_plugins.data import ScoreKind
from limrank_plugins.readouts.pairs import Activations, PairScore
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks


def recipe(activation: Activations = "model") -> Recipe:
    """The recipe with raw logits, or probabilities.

    Args:
        activation: `"none"` gives the logit; `"sigmoid"` P(relevant), for models that were trained with
            binary cross-entropy; `"model"` what the model's own configuration says, known once it is
            loaded. Each means the same for every query, so thresholds can be used.
    """
    kind: ScoreKind = "probability" if activation == "sigmoid" else "logit"
    return Recipe(
        name="cross-encoder",
        summary="the score of a small encoder that reads query and passage together; fast on a CPU",
        oracle="score",
        readout=PairScore(activation),
        schedule=Chunks(1),
        score_kind=kind,
        backend="cross-encoder",
        model="cross-encoder/ms-marco-MiniLM-L6-v2",
        calls="N",
        tokens="N·(Q + D)",
        paper="arXiv:1901.04085",
        licence="Apache-2.0",
        # All Apache-2.0 but the last, which is MIT; those that forbid commercial use are left out.
        checkpoints=(
            "cross-encoder/ms-marco-MiniLM-L12-v2",
            "BAAI/bge-reranker-v2-m3",
            "Alibaba-NLP/gte-reranker-modernbert-base",
            "BAAI/bge-reranker-base",
        ),
    )


RECIPE = recipe()
