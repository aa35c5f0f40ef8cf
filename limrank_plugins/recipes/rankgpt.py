"""RankGPT (arXiv 2304.09542): the model writes the order of a window sliding from back to front."""

from __future__ import annotations

from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import SlidingWindow


def recipe(window: int = 20, stride: int = 10, passes: int = 1) -> Recipe:
    """The recipe for other windows, or for several passes over the list."""
    return Recipe(
        name="rankgpt",
        summary="writes the order of 20 passages at a time, in a window that slides to the front",
        oracle="order",
        template="rankgpt",
        readout=GenerateOrder(),
        schedule=SlidingWindow(window, stride, passes),
        score_kind="rank",
        backend="transformers",
        model="castorini/rank_zephyr_7b_v1_full",
        reasoning="none",
        calls="1 + ceil((N - 20) / 10); 1 for N <= 20",
        tokens="calls · (2·Q + 20·D + 100, with reasoning + T)",
        paper="arXiv:2304.09542; weights: arXiv:2312.02724",
        licence="MIT; base Mistral-7B: Apache-2.0",
    )


RECIPE = recipe()
