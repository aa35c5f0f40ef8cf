"""Spearman's rank correlation with a permutation test: whether a number grows with another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from limrank_evals.stats.intervals import RESAMPLES
from limrank_plugins.errors import InputError

# Up to so many queries every order is tried (5,040 of them) instead of a sample.
_EXACT = 7
_CHUNK = 1 << 20


class Trend(NamedTuple):
    """Spearman's rho in [-1, 1] and the two-sided p-value of its permutation test."""

    rho: float
    p: float


def spearman(
    first: Sequence[float], second: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> Trend | None:
    """Spearman's rho of two numbers for each query, equal values sharing their mean rank.

    If the two had nothing to do with one another, any of the second's values could stand at any query: p is
    the share of such orders with a rho at least as far from 0. Exact for up to 7 queries; beyond,
    `resamples` orders are drawn and p is (hits + 1) / (resamples + 1), which is never 0.

    Args:
        first: one value for each query; the order of the queries changes nothing.
        second: the other number, in the same order.
        resamples: how many orders are drawn.
        seed: of the drawing.

    Returns:
        None for fewer than 3 queries, or where one of the two is the same for all.

    Raises:
        InputError: not equally many values, one that is not finite, or no resamples.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} and {len(second)} values are not of the same queries")
    if resamples < 1:
        raise InputError(f"resamples must be > 0, but is {resamples}")
    # Sorted: what is drawn must not depend on the order in which queries were read.
    pairs = np.array(sorted(zip(first, second, strict=True)), dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(pairs).all():
        raise InputError("values that are not finite have no rank")
    if len(pairs) < 3:
        return None
    ranks = [_ranks(pairs[:, side]) - (len(pairs) + 1) / 2 for side in (0, 1)]
    scale = math.sqrt(float((ranks[0] ** 2).sum()) * float((ranks[1] ** 2).sum()))
    if scale == 0:
        return None
    together = float(ranks[0] @ ranks[1])
    # Ranks are halves, so sums are exact; the margin is for long lists only.
    reached = abs(together) - 1e-9 * scale
    if len(pairs) <= _EXACT:
        orders = np.array(list(itertools.permutations(ranks[1])))
        p = float((np.abs(orders @ ranks[0]) >= reached).mean())
    else:
        dice, hits = np.random.default_rng(seed), 0
        step = max(1, _CHUNK // len(pairs))
        for start in range(0, resamples, step):
            drawn = dice.permuted(np.tile(ranks[1], (min(step, resamples - start), 1)), axis=1)
            hits += int((np.abs(drawn @ ranks[0]) >= reached).sum())
        p = (hits + 1) / (resamples + 1)
    return Trend(together / scale, p)


def _ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Ranks from 1, equal values at the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: np.ndarray[Any, Any] = (last - (counts - 1) / 2)[inverse]
    return means
