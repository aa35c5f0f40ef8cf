"""Rank1 (arXiv 2502.18418), LimRank's parent: the same prompt and reading, other weights."""

from __future__ import annotations

from dataclasses import replace

from limrank_plugins.prompts import Intent
from limrank_plugins.recipes import Recipe, limrank


def recipe(intent: Intent = "either") -> Recipe:
    """The recipe for queries of which it is known what they want; see `limrank.recipe`.

    Raises:
        InputError: another intent.
    """
    return replace(
        limrank.recipe(intent),
        name="rank1",
        summary="as limrank, with the weights trained on 386,000 reasoned MS MARCO verdicts",
        model="jhu-clsp/rank1-7b",
        paper="arXiv:2502.18418",
        licence="MIT; base Qwen2.5-7B: Apache-2.0",
        checkpoints=tuple(
            f"jhu-clsp/rank1-{size}"
            for size in ("0.5b", "1.5b", "3b", "14b", "32b", "llama3-8b", "mistral-2501-24b")
        ),
    )


RECIPE = recipe()
