"""Retro* (arXiv 2509.24869): an analysis of each passage by a rubric, then a score from 0 to 100."""

from __future__ import annotations

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.grade import ANY_TASK, GenerateGrade, GradingTask
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

_FOR_EXPERTS = (
    "the critical concepts or theories discussed in the document can provide references for domain experts "
    "to draft an answer to the query"
)
_THEOREMS_USED = (
    "the theorems used in the document can provide helpful insights for solving the problem in the query"
)
TASKS = {
    **{
        name: GradingTask(f"{kind} post", "passage", _FOR_EXPERTS)
        for name, kind in {
            "biology": "biology",
            "earth_science": "earth science",
            "economics": "economics",
            "psychology": "psychology",
            "robotics": "robotics",
            "stackoverflow": "Stack Overflow",
            "sustainable_living": "sustainable living",
        }.items()
    },
    "leetcode": GradingTask(
        "LeetCode problem",
        "coding problem solution",
        "the underlying algorithms or data structures used in the document can provide helpful insights for "
        "solving the problem in the query",
    ),
    "pony": GradingTask(
        "Pony coding instruction",
        "Pony documentation passage",
        "the Pony syntax described in the document is necessary for beginners with no prior knowledge of "
        "Pony to complete the coding instruction in the query",
    ),
    "aops": GradingTask("math problem", "math problem solution", _THEOREMS_USED),
    "theoremqa_questions": GradingTask("math problem", "math problem solution", _THEOREMS_USED),
    "theoremqa_theorems": GradingTask(
        "math problem",
        "math-related passage",
        "the theorem described in the document can help solve the problem in the query",
    ),
}
"""BRIGHT's tasks as Retro*'s authors define them (reranker_prompts.py of the release)."""


def recipe(scale: int = 100, task: str = "any") -> Recipe:
    """The recipe for another scale, or for one of BRIGHT's tasks.

    Args:
        scale: the highest score, a multiple of 5 (the rubric has five bands). The released checkpoints
            are trained with 100.
        task: `"any"` is the authors' default definition of relevance; the name of one of BRIGHT's tasks
            (`"biology"`, `"leetcode"`, …) is theirs for that task.

    Raises:
        InputError: the scale is not such a number, or there is no such task.
    """
    if task != "any" and task not in TASKS:
        raise InputError(f"task must be one of any, {', '.join(TASKS)}, but got {task!r}")
    if type(scale) is not int or scale not in range(5, 100_001, 5):
        raise InputError(f"scale must be a multiple of 5 from 5 to 100000, but got {scale!r}")
    return Recipe(
        name="retro",
        summary="analyses each passage by a rubric, writes a score from 0 to 100; samples are averaged",
        oracle="score",
        template="retro",
        readout=GenerateGrade(scale, TASKS.get(task, ANY_TASK)),
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
        # Those of Qwen3 are BGE-Reasoner-Reranker-0928 (FlagEmbedding, research/BGE_Reasoner).
        checkpoints=(
            "ljw13/retro-star-qwen2.5-32b-instruct-0923",
            "ljw13/retro-star-qwen3-8b-0928",
            "ljw13/retro-star-qwen3-14b-0928",
            "ljw13/retro-star-qwen3-32b-0928",
        ),
    )


RECIPE = recipe()
