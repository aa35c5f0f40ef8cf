"""ReasonRank (arXiv 2508.07050): the model reasons about a window of passages, then writes their order."""

from __future__ import annotations

from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import SlidingWindow


def recipe(window: int = 20, stride: int = 10, passes: int = 1, passage_limit: str | None = None) -> Recipe:
    """The recipe for other windows, several passes over the list, or more or less of each passage.

    Args:
        window: documents in a prompt.
        stride: how far the window slides.
        passes: over the list.
        passage_limit: the most of a passage that is read: `"512-tokens"` (the default, the authors' on
            BRIGHT and R2MED), `"100-tokens"` (theirs on TREC and BEIR), another number, or `"none"`.
    """
    return Recipe(
        name="reasonrank",
        summary="reasons about 20 passages at a time, then writes their order; a window slides to the front",
        oracle="order",
        template="reasonrank",
        readout=GenerateOrder(tagged=True),
        schedule=SlidingWindow(window, stride, passes),
        score_kind="rank",
        backend="transformers",
        model="liuwenhan/reasonrank-7B",
        reasoning="full",
        max_reasoning_tokens=3072,
        calls="1 + ceil((N - 20) / 10); 1 for N <= 20 (twice as many at most: reasoning over budget)",
        tokens="calls · (2·Q + 20·D + T + 100)",
        paper="arXiv:2508.07050",
        licence="MIT; base Qwen2.5-7B-Instruct: Apache-2.0",
        checkpoints=("liuwenhan/reasonrank-32B",),
        passage_limit=passage_limit,
    )


RECIPE = recipe()
