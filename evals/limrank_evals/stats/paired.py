"""Tests of two systems on the same questions. All are two-sided: neither system is expected to win."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from limrank_plugins.errors import InputError, require

RESAMPLES = 10_000
# Up to this many differences every pattern of signs is tried (65,536 of them) instead of a sample.
_EXACT = 16
_CHUNK = 1 << 20
# Up to this many discordant questions McNemar's test is the exact one.
_EXACT_DISCORDANT = 1000


class Record(NamedTuple):
    """On how many queries a system was better, equal and worse than another."""

    won: int
    tied: int
    lost: int


def won_tied_lost(differences: Collection[float], *, within: float = 1e-9) -> Record:
    """Count differences above, around and below 0; those within `within` of it are ties."""
    won = sum(difference > within for difference in differences)
    lost = sum(difference < -within for difference in differences)
    return Record(won, len(differences) - won - lost, lost)


def randomisation_test(
    differences: Collection[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> float | None:
    """The p-value of Fisher's paired randomisation test of a mean difference.

    If the two systems were one, the sign of every query's difference would be a coin's: p is the share of
    sign patterns with a mean at least as far from 0. Exact for up to 16 differences that are not 0;
    beyond, `resamples` patterns are drawn and p is (hits + 1) / (resamples + 1), which is never 0.

    Returns:
        p in (0, 1]; None without differences.

    Raises:
        InputError: a difference that is not finite, or no resamples.
    """
    if resamples < 1:
        raise InputError(f"resamples must be > 0, but is {resamples}")
    found = _finite(differences)
    if not len(found):
        return None
    moved = np.sort(found[found != 0])
    if not len(moved):
        return 1.0
    # Sums of the same numbers in another order differ in their last bits.
    reached = abs(moved.sum()) - 1e-9 * np.abs(moved).sum()
    if len(moved) <= _EXACT:
        patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float((np.abs((1 - 2 * patterns) @ moved) >= reached).mean())
    dice, hits = np.random.default_rng(seed), 0
    step = max(1, _CHUNK // len(moved))
    for start in range(0, resamples, step):
        signs = 1 - 2 * dice.integers(0, 2, (min(step, resamples - start), len(moved)))
        hits += int((np.abs(signs @ moved) >= reached).sum())
    return (hits + 1) / (resamples + 1)


def t_test(differences: Collection[float]) -> float | None:
    """The p-value of the paired t-test of a mean difference; None for fewer than two.

    Raises:
        InputError: a difference that is not finite.
        MissingExtra: scipy, which has Student's distribution, is not installed.
    """
    found = _finite(differences)
    count = len(found)
    if count < 2:
        return None
    deviation = float(found.std(ddof=1))
    if deviation == 0:
        return 1.0 if found[0] == 0 else 0.0
    t = float(found.mean()) / (deviation / math.sqrt(count))
    student = require("scipy.special", "evals", "the t-test")
    return float(2 * student.stdtr(count - 1, -abs(t)))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float | None:
    """The p-value of McNemar's test of two accuracies on the same questions; None without questions.

    Only the questions that one system alone answered rightly say anything. Up to 1,000 of them, the exact
    binomial test; beyond, chi-squared with the continuity correction.

    Raises:
        InputError: the two do not answer equally many questions.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} and {len(second)} answers are not to the same questions")
    if not len(first):
        return None
    ours = sum(a and not b for a, b in zip(first, second, strict=True))
    theirs = sum(b and not a for a, b in zip(first, second, strict=True))
    discordant = ours + theirs
    if not discordant:
        return 1.0
    if discordant <= _EXACT_DISCORDANT:
        tail = sum(math.comb(discordant, i) for i in range(min(ours, theirs) + 1))
        return min(1.0, 2 * tail / (1 << discordant))
    squared = max(0, abs(ours - theirs) - 1) ** 2 / discordant
    return math.erfc(math.sqrt(squared / 2))


def _finite(differences: Collection[float]) -> np.ndarray[Any, Any]:
    found = np.asarray(list(differences), dtype=np.float64)
    if not np.isfinite(found).all():
        raise InputError("differences that are not finite cannot be tested")
    return found
