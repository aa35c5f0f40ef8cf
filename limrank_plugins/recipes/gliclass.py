"""GLiClass (arXiv 2508.07662): a label classifier as a reranker, one passage at a time or all together."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.data import ScoreKind
from limrank_plugins.errors import InputError
from limrank_plugins.readouts import Readout
from limrank_plugins.readouts.classes import JointClasses, PassageClass
from limrank_plugins.readouts.pairs import Activation
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks, Once, Schedule


def recipe(mode: Literal["passage", "joint"] = "passage", activation: Activation = "sigmoid") -> Recipe:
    """The recipe with another way to ask, or with raw logits.

    Args:
        mode: `"passage"` asks of each passage whether the query fits it as a label: N short questions,
            comparable scores. `"joint"` asks once which passages fit the query: for lists that fit the
            model's context together; scores depend on the list and on its order, and with `samples=m`
            are averaged over m permutations.
        activation: `"sigmoid"` gives a probability, `"none"` the logit.
    """
    if mode not in ("passage", "joint"):
        raise InputError(f"mode must be 'passage' or 'joint', but got {mode!r}")
    joint = mode == "joint"
    readout: Readout = JointClasses(activation) if joint else PassageClass(activation)
    schedule: Schedule = Once() if joint else Chunks(1)
    kind: ScoreKind = "probability" if activation == "sigmoid" else "logit"
    return Recipe(
        name="gliclass",
        summary="how well the query fits each passage as a label, or all passages the query (mode=joint)",
        oracle="score",
        readout=readout,
        schedule=schedule,
        score_kind=kind,
        backend="gliclass",
        model="knowledgator/gliclass-modern-base-v3.0",
        calls="samples" if joint else "N",
        tokens="samples · (Q + N·D)" if joint else "N·(Q + D)",
        paper="arXiv:2508.07662",
        licence="Apache-2.0",
        checkpoints=(
            "knowledgator/gliclass-modern-large-v3.0",
            "knowledgator/gliclass-base-v3.0",
            "knowledgator/gliclass-large-v3.0",
            "knowledgator/gliclass-edge-v3.0",
        ),
    )


RECIPE = recipe()
