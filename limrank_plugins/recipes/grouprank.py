"""GroupRank (arXiv 2511.11653): reason about a group of documents, then write a score for each of them."""

from __future__ import annotations

from limrank_plugins.checks import whole_number
from limrank_plugins.readouts.group_grades import GenerateGrades
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks


def recipe(size: int = 20, scale: int = 10) -> Recipe:
    """The recipe for other groups, or another scale.

    Args:
        size: documents in a group, 20 as in the authors' evaluation; all groups are asked about at once.
        scale: the highest score.

    Raises:
        InputError: a number out of bounds.
    """
    whole_number("scale", scale, least=2, most=1000)
    return Recipe(
        name="grouprank",
        summary="reasons about 20 documents at a time, then writes a score from 0 to 10 for each of them",
        oracle="score",
        template="grouprank",
        readout=GenerateGrades(scale),
        schedule=Chunks(size),
        score_kind="grade",
        backend="transformers",
        model="Qwen/Qwen2.5-7B-Instruct",
        reasoning="full",
        max_reasoning_tokens=3072,
        calls="ceil(N / 20), all at once (twice as many at most: reasoning over budget)",
        tokens="calls · (Q + 20·D + T + 200)",
        paper="arXiv:2511.11653",
        licence="Apache-2.0",
    )


RECIPE = recipe()
