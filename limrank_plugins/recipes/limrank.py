"""LimRank (arXiv 2510.23544): reason about each passage, answer true or false."""

from __future__ import annotations

from typing import get_args

from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Intent
from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks


def recipe(intent: Intent = "either") -> Recipe:
    """The recipe for queries of which it is known what they want.

    The paper's error analysis finds passages that help indirectly scored as high as those that answer.

    Args:
        intent: `direct`, only what answers the query itself is relevant; `background`, what an answer
            builds on is relevant, too; `either`, nothing is added and the prompt is the trained one. The
            sentence stands where queries had their instructions in Rank1's and LimRank's evaluation; the
            weights were not trained with it.

    Raises:
        InputError: another intent.
    """
    if intent not in get_args(Intent):
        raise InputError(f"intent must be one of {', '.join(get_args(Intent))}, but got {intent!r}")
    return Recipe(
        name="limrank",
        summary="reasons about each passage, answers true or false, ranks by the probability of true",
        oracle="score",
        template="limrank",
        chat_template="limrank-chat",
        readout=YesNo(intent=intent),
        schedule=Chunks(1),
        score_kind="probability",
        backend="transformers",
        model="songtingyu/limrank",
        reasoning="full",
        calls="N (2·N at most: reasoning over budget is closed by a second one)",
        tokens="Q + N·(D + T) with reasoning, Q + N·D without",
        paper="arXiv:2510.23544",
        licence="MIT as claimed by its authors (no licence file); base Qwen2.5-7B: Apache-2.0",
    )


RECIPE = recipe()
