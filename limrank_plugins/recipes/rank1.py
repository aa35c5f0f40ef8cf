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
        checkpoints=("jhu-clsp/rank1-0.5b", "jhu-clsp/rank1-14b", "jhu-clsp/rank1-32b"),
    )


RECIPE = recipe()
