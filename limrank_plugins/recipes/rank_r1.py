"""Rank-R1 (arXiv 2503.06034): setwise with reasoning before each choice, trained by reinforcement."""

from __future__ import annotations

from limrank_plugins.readouts.select import GenerateSelect
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import HeapTopK


def recipe(children: int = 19, top: int = 10) -> Recipe:
    """The recipe for other numbers of passages in a prompt (one more than `children`) or of places."""
    return Recipe(
        name="rank-r1",
        summary="reasons about 20 passages, names the best one; a heap finds the top 10",
        oracle="select",
        template="rank-r1",
        readout=GenerateSelect(tagged=True, exact=True),
        schedule=HeapTopK(children, top),
        score_kind="rank",
        backend="transformers",
        model="ielabgroup/Rank-R1-7B-v0.1",
        reasoning="full",
        max_reasoning_tokens=2048,
        calls="about N/19 + 10·log19(N), one after another; times the samples, which are all at once",
        tokens="calls · (Q + 20·D + T)",
        paper="arXiv:2503.06034",
        licence="not stated for the adapters; base Qwen2.5-7B-Instruct: Apache-2.0",
        checkpoints=("ielabgroup/Rank-R1-3B-v0.1", "ielabgroup/Rank-R1-14B-v0.1"),
    )


RECIPE = recipe()
