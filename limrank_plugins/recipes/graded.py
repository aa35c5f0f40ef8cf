"""Fine-grained relevance labels (arXiv 2310.14122): the expected grade by a rubric, from one forward pass."""

from __future__ import annotations

from limrank_plugins.checks import whole_number
from limrank_plugins.readouts.grade import ExpectedGrade
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks


def recipe(levels: int = 5) -> Recipe:
    """The recipe for 2 to 11 grades.

    Args:
        levels: how many grades there are; scores are from 0 to `levels - 1`. Up to 5 are described one by
            one; of more, the ends and the middle. 11 are ERank's 0 to 10 (arXiv 2509.00520).

    Raises:
        InputError: there are no prompts for that many grades.
    """
    whole_number("levels", levels, least=2, most=11)
    return Recipe(
        name="graded",
        summary="grades each passage by a rubric: the expected grade, from the probability of each",
        oracle="score",
        template="graded" if levels <= 5 else "graded-scale",
        readout=ExpectedGrade(levels),
        schedule=Chunks(1),
        score_kind="grade",
        backend="transformers",
        model="Qwen/Qwen2.5-7B-Instruct",
        calls="N",
        tokens="Q + N·D, none written",
        paper="arXiv:2310.14122",
        licence="Apache-2.0",
    )


RECIPE = recipe()
