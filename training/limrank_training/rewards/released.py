"""The rewards as the papers' code gives them, for reproducing their training.

They are read from the first answer behind reasoning, whatever stands around it, and are easier to please than
ours: a list with commas, or with [0] for the last document, is worth what the right form is worth, and an
id named again may earn again. Sources: Rank-R1/train_grpo.py of ielab/llm-rankers,
verl/utils/reward_score/ranking.py of 8421BCD/ReasonRank, open_r1/vlm_modules/qwen_module.py of i2vec/MM-R5.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from limrank_plugins.ndcg import ndcg
from limrank_plugins.readouts.labels import NUMERIC, Labels
from limrank_training.rewards.reasonrank import rbo

_ANSWER = re.compile(r"<think>.*?</think>\s*<answer>(.*?)</answer>", re.DOTALL)
_IMAGES = re.compile(r"<answer>\[(.*?)\]</answer>")
_LIST = re.compile(r"<think>.*?</think>\s*<answer>\[([0-9]+(?:,\s*[0-9]+)*)\]</answer>", re.DOTALL)


def choice_reward(text: str, gold: int, size: int, labels: Labels = NUMERIC) -> float:
    """Rank-R1's: 1 if the first answer is the gold document's label and nothing else."""
    found = _ANSWER.search(text)
    return 1.0 if found is not None and found[1].strip() == labels.shown(size)[gold] else 0.0


def order_reward(text: str, grades: Mapping[int, float], gold: Sequence[int], size: int) -> float:
    """ReasonRank's: -1 without an answer, 0 for another number of different ids, else the three measures.

    Relevance is yes or no. [0] is the last document, as an index of -1 is; ids beyond the list are left out.
    """
    found = _ANSWER.search(text)
    if found is None:
        return -1.0
    names = "".join(c if c.isdigit() else " " for c in found[1]).split()
    if len(names) != size or len(set(names)) != size or not all(name.isdecimal() for name in names):
        return 0.0
    written = [int(name) - 1 for name in names]
    places = {i % size: place for place, i in enumerate(written) if i < size}
    order = sorted(places, key=places.__getitem__)
    relevant = {i for i, grade in grades.items() if grade > 0}
    missed = len(relevant - set(order))
    gains = [float(i in relevant) for i in order]
    recall = len(relevant & set(order[:10])) / len(relevant) if relevant else 0.0
    return ndcg([*gains, *[0.0] * 10, *[1.0] * missed]) + 0.2 * recall + 0.1 * rbo(written, gold)


def images_reward(text: str, relevant: Collection[int], size: int) -> float:
    """MM-R5's: sum of rank^-3 of the relevant images' first mentions, over the largest it could be."""
    found = _IMAGES.search(text)
    if found is None:
        return 0.0
    try:
        named = [int(name) - 1 for name in found[1].strip().split(",") if name.strip()]
    except ValueError:
        return 0.0
    ideal = sum(place**-3 for place in range(1, len(relevant) + 1))
    return sum((named.index(i) + 1) ** -3 for i in relevant if i in named) / ideal


def images_format(text: str, size: int) -> float:
    """MM-R5's: how near the number of ids is to that of the images, times the share of ids in range.

    It is negative for a list more than twice as long as it should be; a list of one id is worth nothing.
    """
    found = _LIST.search(text)
    names = [] if found is None else [name.strip() for name in found[1].split(",")]
    if len(names) < 2 or any(name != str(int(name)) for name in names):
        return 0.0
    in_range = sum(1 <= int(name) <= size for name in names) / len(names)
    return (size - abs(len(names) - size)) / size * in_range
