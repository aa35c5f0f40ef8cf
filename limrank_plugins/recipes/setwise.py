"""Setwise prompting (arXiv 2310.09497): which of these passages is the best? A heap makes a ranking of it."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.labels import ALPHABETIC
from limrank_plugins.readouts.select import GenerateSelect, LabelSelect, Selects
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import BubbleTopK, HeapTopK, ReleasedBubble, Schedule


def recipe(
    readout: Literal["likelihood", "generation"] = "likelihood",
    schedule: Literal["heap", "bubble"] = "heap",
    children: int = 3,
    top: int = 10,
    sort: Literal["ours", "released"] = "ours",
) -> Recipe:
    """The recipe with another readout or schedule.

    Args:
        readout: `"likelihood"` compares the letters' probabilities in one forward pass;
            `"generation"` reads the letter that is written, for servers that show no probabilities.
        schedule: how choices become a ranking.
        children: a group holds one passage more. 3 is the released default; more is fewer calls.
        top: how many places are decided; the others keep the first stage's order.
        sort: `"ours"` shows groups in the first stage's order and follows it where the model abstains;
            `"released"` sorts as the released code does, for reproducing its tables.
    """
    heap = HeapTopK(children, top, is_released(sort))
    bubble = (ReleasedBubble if is_released(sort) else BubbleTopK)(children + 1, top)
    plan: Schedule = heap if schedule == "heap" else bubble
    ALPHABETIC.shown(children + 1)  # more than 26 are refused here, not in the middle of a ranking
    if schedule not in ("heap", "bubble"):
        raise InputError(f"schedule must be 'heap' or 'bubble', but got {schedule!r}")
    return Recipe(
        name="setwise",
        summary="picks the best of 4 passages by the likelihood of its letter; a heap finds the top 10",
        oracle="select",
        template="setwise",
        readout=selector(readout),
        schedule=plan,
        score_kind="rank",
        backend="transformers",
        model="Qwen/Qwen2.5-7B-Instruct",
        calls="about N/3 + 10·log3(N), one after another (bubble: 10·N/3)",
        tokens="calls · (Q + 4·D)",
        paper="arXiv:2310.09497",
        licence="Apache-2.0",
    )


def is_released(sort: str) -> bool:
    """Whether groups are sorted as released.

    Raises:
        InputError: there is no such way to sort.
    """
    if sort not in ("ours", "released"):
        raise InputError(f"sort must be 'ours' or 'released', but got {sort!r}")
    return sort == "released"


def selector(readout: str) -> Selects:
    """The readout of this name."""
    if readout == "likelihood":
        return LabelSelect(ALPHABETIC)
    if readout == "generation":
        return GenerateSelect(ALPHABETIC)
    raise InputError(f"readout must be 'likelihood' or 'generation', but got {readout!r}")


RECIPE = recipe()
