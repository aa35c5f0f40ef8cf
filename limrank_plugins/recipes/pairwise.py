"""Pairwise ranking prompting (arXiv 2306.17563): which of two passages is better, asked both ways round."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.select import Symmetrised
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes.setwise import selector
from limrank_plugins.schedules import AllPairs, BubbleTopK, HeapTopK, Schedule

_CALLS = {
    "all": "N·(N - 1), all at once (heap: about 4·(N/2 + 10·log2(N)), sliding: 20·N, one after another)",
    "heap": "about 4·(N/2 + 10·log2(N)), one after another",
    "sliding": "at most 2·K·N - K·(K + 1) for K = 10 passes, two at a time",
}


def recipe(
    readout: Literal["likelihood", "generation"] = "likelihood",
    schedule: Literal["all", "heap", "sliding"] = "all",
    top: int = 10,
) -> Recipe:
    """The recipe with another readout or schedule.

    Args:
        readout: as for `setwise`.
        schedule: `"all"` asks about every pair; `"heap"` about those a binary heap needs for the top;
            `"sliding"` about neighbours, from the bottom of the list to its top, `top` times (PRP-Sliding-K,
            which the paper recommends: bubble sort's first passes).
        top: how many places heap and passes decide; the others keep the first stage's order, but for what a
            pass moved.
    """
    inner = selector(readout)
    schedules: dict[str, Schedule] = {
        "all": AllPairs(),
        "heap": HeapTopK(2, top),
        "sliding": BubbleTopK(2, top, symmetric=True),
    }
    if schedule not in schedules:
        raise InputError(f"schedule must be one of {', '.join(schedules)}, but got {schedule!r}")
    return Recipe(
        name="pairwise",
        summary="compares every two passages in both orders; believes only answers that agree",
        oracle="select",
        template="pairwise",
        readout=inner if schedule == "all" else Symmetrised(inner),
        schedule=schedules[schedule],
        score_kind="rank",
        backend="transformers",
        model="Qwen/Qwen2.5-7B-Instruct",
        calls=_CALLS[schedule],
        tokens="calls · (Q + 2·D)",
        paper="arXiv:2306.17563",
        licence="Apache-2.0",
    )


RECIPE = recipe()
