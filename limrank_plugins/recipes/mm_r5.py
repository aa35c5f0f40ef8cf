"""MM-R5 (arXiv 2506.12364): the model reasons about five page images, then writes their order."""

from __future__ import annotations

from limrank_plugins.readouts.labels import PLAIN
from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import SlidingWindow


def recipe(window: int = 5, stride: int = 2, passes: int = 1) -> Recipe:
    """The recipe for other windows, or for several passes over the list.

    Args:
        window: pages in a prompt; the checkpoint is trained with 5.
        stride: by how much the window moves; the best `window - stride` pages reach the front.
        passes: over the list.
    """
    return Recipe(
        name="mm-r5",
        summary="reasons about 5 page images at a time, then writes their order; a window moves to the front",
        oracle="order",
        template="mm-r5",
        readout=GenerateOrder(PLAIN, tagged=True),
        schedule=SlidingWindow(window, stride, passes),
        score_kind="rank",
        backend="vision",
        model="i2vec/MM-R5",
        for_images=True,
        reasoning="full",
        calls="1 + ceil((N - 5) / 2); 1 for N <= 5 (twice as many at most: reasoning over budget)",
        tokens="calls · (Q + 5·D + T), an image counted as the tokens it becomes",
        paper="arXiv:2506.12364",
        licence="code: MIT; weights: see the checkpoint's card; base Qwen2.5-VL-7B-Instruct: Apache-2.0",
    )


RECIPE = recipe()
