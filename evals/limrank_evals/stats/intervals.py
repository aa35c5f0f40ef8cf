"""Confidence intervals by scipy: the bootstrap for means over queries, Wilson's for accuracies."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError, require

RESAMPLES = 10_000
# Numbers held at once while resampling.
BATCH = 1 << 20


class Interval(NamedTuple):
    """A confidence interval: its two ends."""

    low: float
    high: float


def bootstrap(
    values: Collection[float], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """The bootstrap interval of a mean over queries (or of a mean difference: give the differences).

    Bias-corrected and accelerated (BCa; Efron 1987).

    Args:
        values: one for each query; their order does not matter.
        level: how often such an interval covers the mean, .95.
        resamples: how often the queries are drawn anew, with replacement.
        seed: of the drawing: equal values and seed give equal ends.

    Returns:
        The interval; None for fewer than two values, which say nothing about their spread.

    Raises:
        InputError: a value that is not finite, a level outside (0, 1), or no resamples.
        MissingExtra: scipy is not installed.
    """
    return _interval([values], "BCa", level, resamples, seed)


def bootstrap_of_means(
    groups: Sequence[Collection[float]], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """The percentile bootstrap's interval of a mean of groups' means, each counting the same.

    Args:
        groups: values of each, which are drawn anew within it.
        level: as for `bootstrap`, and so are the others.
        resamples: how often the values are drawn anew.
        seed: of the drawing.

    Returns:
        The interval; None where a group has fewer than two values.

    Raises:
        InputError: as for `bootstrap`.
        MissingExtra: scipy is not installed.
    """
    return _interval(groups, "percentile", level, resamples, seed)


def bootstrap_of(
    rows: np.ndarray[Any, Any],
    statistic: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The percentile bootstrap's interval of any number that is computed from queries.

    Args:
        rows: of shape (queries, …): what each query brings to it.
        statistic: of rows drawn anew, of shape (draws, queries, …), to a number for each draw; NaN where it
            is not defined, which leaves that draw out.
        level: as for `bootstrap`, and so are the others.
        resamples: how often the queries are drawn anew.
        seed: of the drawing.

    Returns:
        The interval; None for fewer than two queries, or where most draws have no such number.

    Raises:
        InputError: a level outside (0, 1), or no resamples.
        MissingExtra: scipy is not installed.
    """
    check_level(level)
    whole_number("resamples", resamples, least=1)
    if len(rows) < 2:
        return None
    stats = require("scipy.stats", "evals", "intervals")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of degenerate cases: nan is looked at below
        draws = stats.bootstrap(
            (np.arange(len(rows)),),
            lambda drawn, axis: statistic(rows[drawn]),
            n_resamples=resamples,
            batch=max(1, BATCH // rows.size),
            confidence_level=level,
            method="percentile",
            random_state=np.random.default_rng(seed),
        ).bootstrap_distribution
    defined = draws[~np.isnan(draws)]
    if 2 * len(defined) <= len(draws):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def wilson(right: int, total: int, *, level: float = 0.95) -> Interval | None:
    """Wilson's score interval of an accuracy; None where nothing was asked.

    It stays inside [0, 1] and has a width at 0 and 1, which the usual one does not.

    Raises:
        InputError: not 0 <= right <= total, or a level outside (0, 1).
        MissingExtra: scipy is not installed.
    """
    check_level(level)
    if not 0 <= right <= total:
        raise InputError(f"an accuracy must have 0 <= right <= total, but got {right} of {total}")
    if total == 0:
        return None
    stats = require("scipy.stats", "evals", "Wilson's interval")
    low, high = stats.binomtest(int(right), int(total)).proportion_ci(level, method="wilson")
    return Interval(float(low), float(high))


def _interval(
    groups: Sequence[Collection[float]],
    method: Literal["BCa", "percentile"],
    level: float,
    resamples: int,
    seed: int,
) -> Interval | None:
    check_level(level)
    whole_number("resamples", resamples, least=1)
    # Sorted: what is drawn must not depend on the order in which queries were read.
    samples = [np.sort(np.asarray(list(values), dtype=np.float64)) for values in groups]
    if not all(np.isfinite(sample).all() for sample in samples):
        raise InputError("the values of an interval must be finite numbers, but some are not finite")
    if not samples or any(len(sample) < 2 for sample in samples):
        return None
    if all(sample[0] == sample[-1] for sample in samples):
        constant = float(np.mean([sample[0] for sample in samples]))
        return Interval(constant, constant)
    centre = float(np.mean([sample.mean() for sample in samples]))
    scale = max(float(np.abs(sample - centre).max()) for sample in samples)
    stats = require("scipy.stats", "evals", "intervals")
    longest = max(len(sample) for sample in samples)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of degenerate cases: nan is looked at below
        resampled = stats.bootstrap(
            [(sample - centre) / scale for sample in samples],
            _mean_of_means,
            n_resamples=resamples,
            batch=max(1, BATCH // longest),
            confidence_level=level,
            method=method,
            random_state=np.random.default_rng(seed),
        )
    ends = resampled.confidence_interval
    if math.isnan(ends[0]) or math.isnan(ends[1]):
        # All resampled means lie on one side, which happens with few resamples only: BCa is not defined.
        ends = np.quantile(resampled.bootstrap_distribution, [(1 - level) / 2, (1 + level) / 2])
    return Interval(centre + scale * float(ends[0]), centre + scale * float(ends[1]))


def _mean_of_means(*samples: np.ndarray[Any, Any], axis: int) -> Any:
    """Rounded: sums of the same numbers in another order differ in their last bits, and count as equal."""
    return np.round(sum(sample.mean(axis=axis) for sample in samples) / len(samples), 12)


def check_level(level: float, name: str = "level") -> None:
    """Raise an `InputError` for a level that no interval has.

    Args:
        level: how often intervals cover what they are of.
        name: what the message calls it.
    """
    if not 0 < level < 1:
        raise InputError(f"{name} must be > 0 and < 1, but got {level}")
