"""Rank-R1's reward: the right label in the right shape, or nothing (arXiv 2503.06034 §3)."""

from __future__ import annotations

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.labels import NUMERIC, Labels
from limrank_training.rewards.answer_tags import tagged_answer


def choice_reward(text: str, gold: int, size: int, labels: Labels = NUMERIC) -> float:
    """1 if the answer is the gold document's label and nothing else, behind one block of reasoning; else 0.

    Args:
        text: all that the model wrote, the opening `<think>` included where the prompt ended with it.
        gold: the best document's position, from 0.
        size: how many documents were shown.
        labels: how they were called.

    Raises:
        InputError: there is no such document.
    """
    if not 0 <= gold < size:
        raise InputError(f"the gold position must be from 0 to {size - 1}, but got {gold!r}")
    return 1.0 if tagged_answer(text) == labels.shown(size)[gold] else 0.0
