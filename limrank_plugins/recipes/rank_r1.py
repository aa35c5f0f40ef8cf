"""Rank-R1 (arXiv 2503.06034): setwise with reasoning before each choice, trained by reinforcement."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.select import GenerateSelect
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes.setwise import is_released
from limrank_plugins.schedules import HeapTopK


def recipe(
    children: int = 19,
    top: int = 10,
    passage_limit: str | None = None,
    sort: Literal["ours", "released"] = "ours",
    answer: Literal["last", "released"] = "last",
) -> Recipe:
    """The recipe for other numbers of passages in a prompt or of places, or nearer to the released code.

    Args:
        children: a prompt holds one passage more.
        top: how many places are decided; the others keep the first stage's order.
        passage_limit: the most of a passage that is read: `"512-tokens"` (the default, the authors' on TREC
            DL), `"1024-tokens"` (theirs on BRIGHT), another number, or `"none"`.
        sort: as for `setwise`.
        answer: `"last"` reads the last answer, with reasoning before it or without; `"released"` the first
            one behind reasoning, and takes any other completion for an abstention.
    """
    if answer not in ("last", "released"):
        raise InputError(f"answer must be 'last' or 'released', but got {answer!r}")
    return Recipe(
        name="rank-r1",
        summary="reasons about 20 passages, names the best one; a heap finds the top 10",
        oracle="select",
        template="rank-r1",
        readout=GenerateSelect(tagged=True, exact=True, released=answer == "released"),
        schedule=HeapTopK(children, top, is_released(sort)),
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
        passage_limit=passage_limit,
    )


RECIPE = recipe()
