"""Pairwise ranking prompting (arXiv 2306.17563): which of two passages is better, asked both ways round."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.select import Symmetrised
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes.setwise import selector
from limrank_plugins.schedules import AllPairs, HeapTopK


def recipe(
    readout: Literal["likelihood", "generation"] = "likelihood",
    schedule: Literal["all", "heap"] = "all",
    top: int = 10,
) -> Recipe:
    """The recipe with another readout or schedule.

    Args:
        readout: as for `setwise`.
        schedule: `"all"` asks about every pair; `"heap"` about those a binary heap needs for the top.
        top: how many places the heap decides; the others keep the first stage's order.
    """
    inner = selector(readout)
    if schedule not in ("all", "heap"):
        raise InputError(f"schedule must be 'all' or 'heap', but got {schedule!r}")
    heap = schedule == "heap"
    return Recipe(
        name="pairwise",
        summary="compares every two passages in both orders; believes only answers that agree",
        oracle="select",
        template="pairwise",
        readout=Symmetrised(inner) if heap else inner,
        schedule=HeapTopK(2, top) if heap else AllPairs(),
        score_kind="rank",
        backend="transformers",
        model="Qwen/Qwen2.5-7B-Instruct",
        calls="N·(N - 1), all at once (heap: about 4·(N/2 + 10·log2(N)), one after another)",
        tokens="calls · (Q + 2·D)",
        paper="arXiv:2306.17563",
        licence="Apache-2.0",
    )


RECIPE = recipe()
