"""Confidence intervals: the bootstrap for means over queries, Wilson's for accuracies."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np

from limrank_plugins.errors import InputError

Method = Literal["bca", "percentile"]

RESAMPLES = 10_000
# Numbers held at once while resampling.
_CHUNK = 1 << 20


class Interval(NamedTuple):
    """A confidence interval: its two ends."""

    low: float
    high: float


def bootstrap(
    values: Collection[float],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: Method = "bca",
) -> Interval | None:
    """The bootstrap interval of a mean over queries (or of a mean difference: give the differences).

    Args:
        values: one for each query; their order does not matter.
        level: how often such an interval covers the mean, .95.
        resamples: how often the queries are drawn anew, with replacement.
        seed: of the drawing: equal values and seed give equal ends.
        method: `bca`, bias-corrected and accelerated (Efron 1987), or `percentile`.

    Returns:
        The interval; None for fewer than two values, which say nothing about their spread.

    Raises:
        InputError: a value that is not finite, a level outside (0, 1), or no resamples.
    """
    _check_level(level)
    if resamples < 1:
        raise InputError(f"resamples must be > 0, but is {resamples}")
    if method not in ("bca", "percentile"):
        raise InputError(f"method must be bca or percentile, but is {method!r}")
    # Sorted: what is drawn must not depend on the order in which queries were read.
    drawn_from = np.sort(np.asarray(list(values), dtype=np.float64))
    if not np.isfinite(drawn_from).all():
        raise InputError("a mean over values that are not finite has no interval")
    if len(drawn_from) < 2:
        return None
    if drawn_from[0] == drawn_from[-1]:
        return Interval(float(drawn_from[0]), float(drawn_from[0]))
    means = resampled_means(drawn_from, resamples, seed)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _bca(drawn_from, means, tails)
    low, high = np.quantile(means, tails)
    return Interval(float(low), float(high))


def bootstrap_of_means(
    groups: Sequence[Collection[float]], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """The percentile bootstrap's interval of a mean of groups' means, each counting the same.

    Args:
        groups: values of each, which are drawn anew within it; arguments else as for `bootstrap`.
        level: how often such an interval covers the mean, .95.
        resamples: how often the values are drawn anew.
        seed: of the drawing; every group has dice of its own.

    Returns:
        The interval; None where a group has fewer than two values.

    Raises:
        InputError: as for `bootstrap`.
    """
    _check_level(level)
    if resamples < 1:
        raise InputError(f"resamples must be > 0, but is {resamples}")
    drawn_from = [np.sort(np.asarray(list(values), dtype=np.float64)) for values in groups]
    if not all(np.isfinite(values).all() for values in drawn_from):
        raise InputError("a mean over values that are not finite has no interval")
    if not drawn_from or any(len(values) < 2 for values in drawn_from):
        return None
    means = [resampled_means(values, resamples, seed + place) for place, values in enumerate(drawn_from)]
    low, high = np.quantile(np.mean(means, axis=0), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def wilson(right: int, total: int, *, level: float = 0.95) -> Interval | None:
    """Wilson's score interval of an accuracy; None where nothing was asked.

    It stays inside [0, 1] and has a width at 0 and 1, which the usual one does not.

    Raises:
        InputError: not 0 <= right <= total, or a level outside (0, 1).
    """
    _check_level(level)
    if not 0 <= right <= total:
        raise InputError(f"{right} of {total} is no accuracy")
    if total == 0:
        return None
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = right / total, z * z / total
    centre = share + weight / 2
    spread = z * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return Interval(max(0.0, (centre - spread) / (1 + weight)), min(1.0, (centre + spread) / (1 + weight)))


def resampled_means(values: np.ndarray[Any, Any], resamples: int, seed: int) -> np.ndarray[Any, Any]:
    """The means of `resamples` samples of the values, each as large as they are, with replacement."""
    dice = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _CHUNK // len(values))
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = dice.integers(0, len(values), (stop - start, len(values)))
        means[start:stop] = values[drawn].mean(axis=1)
    return means


def _bca(
    values: np.ndarray[Any, Any], means: np.ndarray[Any, Any], tails: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """The tails corrected for bias and skewness (Efron 1987, sections 3 and 4)."""
    normal = NormalDist()
    # What each mean without one value misses, up to a factor that cancels.
    missed = values - values.mean()
    scale = np.abs(missed).max()
    apart = (means - values.mean()) / scale
    # Sums of the same numbers in another order differ in their last bits: they count as equal.
    below = float((apart < -1e-12).mean() + (np.abs(apart) <= 1e-12).mean() / 2)
    # All resampled means on one side happen with few resamples only; the ends are then as far as can be.
    bias = normal.inv_cdf(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))
    acceleration = float(((missed / scale) ** 3).sum() / (6 * ((missed / scale) ** 2).sum() ** 1.5))
    corrected = []
    for tail in tails:
        shifted = bias + normal.inv_cdf(float(tail))
        corrected.append(normal.cdf(bias + shifted / max(1e-12, 1 - acceleration * shifted)))
    return np.array(corrected)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"the level must be between 0 and 1, but is {level}")
