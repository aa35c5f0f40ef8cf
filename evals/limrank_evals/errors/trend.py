"""Spearman's rank correlation with a permutation test: whether a number grows with another."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import Any, NamedTuple

import numpy as np

from limrank_evals.stats.intervals import BATCH, RESAMPLES
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError, require

# Up to so many queries every order is tried (5,040 of them) instead of a sample.
EXACT = 7


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
        MissingExtra: scipy is not installed.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} and {len(second)} values are not of the same queries")
    whole_number("resamples", resamples, least=1)
    # Sorted: what is drawn must not depend on the order in which queries were read.
    pairs = np.array(sorted(zip(first, second, strict=True)), dtype=np.float64).reshape(-1, 2)
    count = len(pairs)
    if not np.isfinite(pairs).all():
        raise InputError("values that are not finite have no rank")
    if count < 3 or (pairs.min(axis=0) == pairs.max(axis=0)).any():
        return None
    stats = require("scipy.stats", "evals", "the test of trend")
    ranks = stats.rankdata(pairs, axis=0) - (count + 1) / 2
    scale = float(np.sqrt((ranks**2).sum(axis=0).prod()))

    def distance(order: np.ndarray[Any, Any], axis: int) -> Any:
        # Rounded: sums of the same numbers in another order differ in their last bits, and count as equal.
        return np.round(np.abs((order * ranks[:, 0]).sum(axis=axis)) / scale, 9)

    tested = stats.permutation_test(
        (ranks[:, 1],),
        distance,
        permutation_type="pairings",
        n_resamples=max(resamples, factorial(count)) if count <= EXACT else resamples,
        batch=max(1, BATCH // count),
        alternative="greater",
        random_state=np.random.default_rng(seed),
    )
    return Trend(float(ranks[:, 0] @ ranks[:, 1]) / scale, float(tested.pvalue))
