"""ReasonRank's reward for an order (arXiv 2508.07050): nDCG, recall and rank-biased overlap."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from limrank_plugins.errors import InputError
from limrank_plugins.ndcg import ndcg
from limrank_training.rewards.answer_tags import tagged_answer

_LIST = re.compile(r"\[\d{1,6}\](?:\s*>\s*\[\d{1,6}\])*")
_WRONG_SHAPE, _WRONG_LIST = -1.0, 0.0


def order_reward(
    text: str,
    grades: Mapping[int, float],
    gold: Sequence[int],
    size: int,
    *,
    recall: float = 0.2,
    overlap: float = 0.1,
    p: float = 1.0,
) -> float:
    """-1 for the wrong shape, 0 for a list that is no permutation, else nDCG@10 + .2 recall@10 + .1 RBO.

    The weights are those of the released code. Positions are read from 0; a label of no document ([0],
    [n+1]) makes the list wrong, where the released code counts from the end of it.

    Args:
        text: all that the model wrote.
        grades: relevance by position from 0; positions that are missing have 0.
        gold: the teacher's order of positions.
        size: how many documents were shown.
        recall: weight of the recall.
        overlap: weight of the overlap.
        p: persistence of the overlap; 1 is average overlap, as released.

    Raises:
        InputError: the gold order is no permutation of the documents.
    """
    if sorted(gold) != list(range(size)):
        raise InputError(f"the gold order must hold each of 0 to {size - 1} once, but is {list(gold)}")
    answer = tagged_answer(text)
    if answer is None:
        return _WRONG_SHAPE
    if not _LIST.fullmatch(answer):
        return _WRONG_LIST
    order = [int(number) - 1 for number in re.findall(r"\d+", answer)]
    if sorted(order) != list(range(size)):
        return _WRONG_LIST
    gains = [grades.get(i, 0.0) for i in order]
    return ndcg(gains) + recall * recall_at(order, grades) + overlap * rbo(order, gold, p)


def recall_at(order: Sequence[int], grades: Mapping[int, float], depth: int = 10) -> float:
    """The share of the relevant documents among the first `depth`; 0 where nothing is relevant."""
    relevant = {i for i, grade in grades.items() if grade > 0}
    return len(relevant & set(order[:depth])) / len(relevant) if relevant else 0.0


def rbo(first: Sequence[int], second: Sequence[int], p: float = 1.0) -> float:
    """Rank-biased overlap of two lists of equal length, 1 for equal ones (Webber et al., TOIS 2010).

    With p = 1 it is the average overlap; below, the extrapolated form, without which equal short lists
    would be far from 1.

    Raises:
        InputError: lists of unequal length, or a p outside (0, 1].
    """
    if len(first) != len(second) or not 0 < p <= 1:
        raise InputError(
            f"got lists of {len(first)} and {len(second)} and p={p!r}: equal lengths, 0 < p <= 1"
        )
    if not first:
        return 1.0
    seen_first: set[int] = set()
    seen_second: set[int] = set()
    agreements = []
    for depth, (a, b) in enumerate(zip(first, second, strict=True), start=1):
        seen_first.add(a)
        seen_second.add(b)
        agreements.append(len(seen_first & seen_second) / depth)
    if p == 1:
        return math.fsum(agreements) / len(agreements)
    weighted = math.fsum(agreement * p**depth for depth, agreement in enumerate(agreements))
    return (1 - p) * weighted + agreements[-1] * p ** len(agreements)
