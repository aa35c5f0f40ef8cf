"""Retro* (arXiv 2509.24869): an analysis of each passage by a rubric, then a score from 0 to 100."""

from __future__ import annotations

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.grade import GenerateGrade
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks


def recipe(scale: int = 100) -> Recipe:
    """The recipe for another scale.

    Args:
        scale: the highest score, a multiple of 5 (the rubric has five bands). The released checkpoints
            are trained with 100.

    Raises:
        InputError: the scale is not such a number.
    """
    if type(scale) is not int or scale not in range(5, 100_001, 5):
        raise InputError(f"scale must be a multiple of 5 from 5 to 100000, but got {scale!r}")
    return Recipe(
        name="retro",
        summary="analyses each passage by a rubric, writes a score from 0 to 100; samples are averaged",
        oracle="score",
        template="retro",
        readout=GenerateGrade(scale),
        schedule=Chunks(1),
        score_kind="grade",
        backend="transformers",
        model="ljw13/retro-star-qwen2.5-7b-instruct-0923",
        reasoning="full",
        max_reasoning_tokens=4096,
        calls="N, times the samples (2·N at most: an analysis over budget is closed by a second one)",
        tokens="Q + N·(D + T) with reasoning, Q + N·D without",
        paper="arXiv:2509.24869",
        licence="not known here: see the checkpoint's card; base Qwen2.5-7B-Instruct: Apache-2.0",
        checkpoints=("ljw13/retro-star-qwen2.5-32b-instruct-0923",),
    )


RECIPE = recipe()
