"""RankGPT (arXiv 2304.09542): the model writes the order of a window sliding from back to front."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import SlidingWindow

Wording = Literal["trained", "rankllm"]
"""As the checkpoints were trained, or as newer versions of RankLLM ask."""


def recipe(
    window: int = 20,
    stride: int = 10,
    passes: int = 1,
    wording: Wording = "trained",
    passage_limit: str | None = None,
) -> Recipe:
    """The recipe for other windows, several passes over the list, or another prompt.

    Args:
        window: documents in a prompt.
        stride: how far the window slides.
        passes: over the list.
        wording: `"trained"` is RankZephyr's; `"rankllm"` is what RankLLM asks since June 2025.
        passage_limit: the most of a passage that is read: `"300-words"` (the default, as in training),
            another number, `"tokens"` for words, or `"none"`.

    Raises:
        InputError: another wording, or no such limit.
    """
    return Recipe(
        name="rankgpt",
        summary="writes the order of 20 passages at a time, in a window that slides to the front",
        oracle="order",
        template=template_of("rankgpt", wording),
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
        passage_limit=passage_limit,
    )


def template_of(name: str, wording: Wording) -> str:
    """The template of a recipe whose checkpoints and RankLLM differ in wording.

    Raises:
        InputError: another wording.
    """
    if wording not in ("trained", "rankllm"):
        raise InputError(f"wording must be 'trained' or 'rankllm', but got {wording!r}")
    return name if wording == "trained" else f"{name}-rankllm"


RECIPE = recipe()
