"""Tests of two systems on the same questions. All are two-sided: neither system is expected to win."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from limrank_evals.stats.intervals import BATCH, RESAMPLES
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError, require

# Up to this many differences every pattern of signs is tried (8,192 of them) instead of a sample.
EXACT = 13
# What differs by less is a rounding.
WITHIN = 1e-9


class WinTieLoss(NamedTuple):
    """On how many queries a system was better, equal and worse than another."""

    won: int
    tied: int
    lost: int


def won_tied_lost(differences: Collection[float]) -> WinTieLoss:
    """Count differences above, around and below 0; those within 1e-9 of it are ties."""
    won = sum(difference > WITHIN for difference in differences)
    lost = sum(difference < -WITHIN for difference in differences)
    return WinTieLoss(won, len(differences) - won - lost, lost)


def randomisation_test(
    differences: Collection[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> float | None:
    """The p-value of Fisher's paired randomisation test of a mean difference.

    If the two systems were one, the sign of every query's difference would be a coin's: p is the share of
    sign patterns with a mean at least as far from 0. Exact for up to 13 differences that are not 0; beyond,
    `resamples` patterns are drawn and p is (hits + 1) / (resamples + 1), which is never 0.

    Returns:
        p in (0, 1]; None without differences.

    Raises:
        InputError: a difference that is not finite, or no resamples.
        MissingExtra: scipy is not installed.
    """
    whole_number("resamples", resamples, least=1)
    values = _finite(differences)
    if not len(values):
        return None
    moved = np.sort(values[values != 0])
    if len(moved) < 2:  # both signs of one difference are equally far from 0
        return 1.0
    size = np.abs(moved).sum()

    def distance(signed: np.ndarray[Any, Any], axis: int) -> Any:
        # Rounded: sums of the same numbers in another order differ in their last bits, and count as equal.
        return np.round(np.abs(signed.sum(axis=axis)) / size, 9)

    stats = require("scipy.stats", "evals", "the randomisation test")
    tested = stats.permutation_test(
        (moved,),
        distance,
        permutation_type="samples",
        # Every pattern where there are no more than this many, which scipy finds out itself.
        n_resamples=max(resamples, 2 ** len(moved)) if len(moved) <= EXACT else resamples,
        batch=max(1, BATCH // len(moved)),
        alternative="greater",
        random_state=np.random.default_rng(seed),
    )
    return float(tested.pvalue)


def t_test(differences: Collection[float]) -> float | None:
    """The p-value of the paired t-test of a mean difference; None for fewer than two.

    Raises:
        InputError: a difference that is not finite.
        MissingExtra: scipy is not installed.
    """
    values = _finite(differences)
    if len(values) < 2:
        return None
    if np.ptp(values) <= 1e-14 * np.abs(values).max():  # no spread but roundings: 0 / 0, or infinite
        return 1.0 if values[0] == 0 else 0.0
    stats = require("scipy.stats", "evals", "the t-test")
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float | None:
    """The p-value of McNemar's exact test of two accuracies on the same questions; None without questions.

    Only the questions that one system alone answered rightly say anything.

    Raises:
        InputError: the two do not answer equally many questions.
        MissingExtra: scipy is not installed.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} and {len(second)} answers are not to the same questions")
    if not len(first):
        return None
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    if only_first == only_second:
        return 1.0
    stats = require("scipy.stats", "evals", "McNemar's test")
    return float(stats.binomtest(min(only_first, only_second), only_first + only_second).pvalue)


def _finite(differences: Collection[float]) -> np.ndarray[Any, Any]:
    values = np.asarray(list(differences), dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError("the differences of a test must be finite numbers, but some are not finite")
    return values
