"""Intervals against plain loops, published values and what they promise: coverage."""

from __future__ import annotations

import math
import random
from statistics import NormalDist, mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.stats import Interval, bootstrap, bootstrap_of_means, wilson
from limrank_plugins.errors import InputError

VALUES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


def by_hand(values: list[float], resamples: int, seed: int, level: float) -> tuple[float, float]:
    """The definition, one resample at a time, with the jackknife written out."""
    dice = np.random.default_rng(seed)
    values = sorted(values)
    centre = float(np.mean(values))
    means = []
    for _ in range(resamples):
        means.append(float(np.mean([values[i] for i in dice.integers(0, len(values), len(values))])))
    normal = NormalDist()
    tails = [(1 - level) / 2, (1 + level) / 2]
    share = (sum(m < centre for m in means) + sum(m == centre for m in means) / 2) / resamples
    bias = normal.inv_cdf(share)
    without = [mean(values[:i] + values[i + 1 :]) for i in range(len(values))]
    misses = [mean(without) - one for one in without]
    acceleration = sum(m**3 for m in misses) / (6 * sum(m**2 for m in misses) ** 1.5)
    z = [bias + normal.inv_cdf(tail) for tail in tails]
    tails = [normal.cdf(bias + one / (1 - acceleration * one)) for one in z]
    low, high = (float(np.quantile(means, tail)) for tail in tails)
    return low, high


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_bootstrap_is_its_definition(level: float):
    dice = random.Random(1)
    for size in (2, 3, 17, 60):
        values = [dice.random() ** 3 for _ in range(size)]
        found = bootstrap(values, resamples=300, seed=5, level=level)
        assert found == pytest.approx(by_hand(values, 300, 5, level), abs=1e-9)


def test_where_all_resampled_means_lie_on_one_side_the_ends_are_the_farthest_of_them():
    found = bootstrap([0.1, 0.2, 0.4, 0.8], resamples=1)
    assert found is not None
    assert 0.1 <= found.low == found.high <= 0.8


def test_the_same_in_pieces_as_at_once(monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(2).random(50).tolist()
    whole = bootstrap(values, resamples=500)
    monkeypatch.setattr("limrank_evals.stats.intervals.BATCH", 120)
    assert bootstrap(values, resamples=500) == whole


@given(VALUES, st.randoms())
def test_the_order_of_queries_changes_nothing_and_the_mean_is_near(values: list[float], dice: random.Random):
    found = bootstrap(values, resamples=200)
    assert found == bootstrap(dice.sample(values, len(values)), resamples=200)
    assert found is not None
    assert min(values) - 1e-12 <= found.low <= found.high <= max(values) + 1e-12


def test_it_covers_as_often_as_it_says():
    """95 of 100 intervals of means of 40 skewed values hold the true mean, give or take."""
    dice = np.random.default_rng(3)
    covered = 0
    for i in range(400):
        found = bootstrap(dice.beta(0.5, 1.5, 40).tolist(), resamples=400, seed=i)
        assert found is not None
        covered += found.low <= 0.25 <= found.high
    assert 0.90 <= covered / 400 <= 0.985


def test_seeds_and_levels():
    values = np.random.default_rng(4).random(30).tolist()
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)
    narrow, wide = bootstrap(values, level=0.5), bootstrap(values, level=0.99)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.high < wide.high


def test_too_little_to_say():
    assert bootstrap([]) is None
    assert bootstrap([0.5]) is None
    assert bootstrap([0.5, 0.5, 0.5]) == Interval(0.5, 0.5)
    assert wilson(0, 0) is None


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    # Newcombe 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_has_its_published_values(right: int, total: int, low: float, high: float):
    assert wilson(right, total) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(total - right, total)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_wilsons_ends_solve_its_equation(total: int, data: st.DataObject):
    right = data.draw(st.integers(0, total))
    found = wilson(right, total)
    assert found is not None
    z = NormalDist().inv_cdf(0.975)
    for end in found:
        assert abs(right / total - end) == pytest.approx(z * math.sqrt(end * (1 - end) / total), abs=1e-7)


def test_bad_input():
    for values in ([0.1, math.nan], [0.1, math.inf]):
        with pytest.raises(InputError, match="not finite"):
            bootstrap(values)
    with pytest.raises(InputError, match="level"):
        bootstrap([0.1, 0.2], level=95)
    with pytest.raises(InputError, match="resamples"):
        bootstrap([0.1, 0.2], resamples=0)
    with pytest.raises(InputError, match="3 of 2"):
        wilson(3, 2)
    with pytest.raises(InputError, match="level"):
        wilson(1, 2, level=1.0)


@given(st.lists(VALUES, min_size=1, max_size=4), st.integers(0, 3))
def test_a_mean_of_means_is_drawn_within_every_group(groups: list[list[float]], seed: int):
    means = []
    dice = np.random.default_rng(seed)
    for values in groups:
        drawn = dice.integers(0, len(values), (200, len(values)))
        means.append([mean(sorted(values)[i] for i in row) for row in drawn.tolist()])
    wanted = np.quantile(np.mean(means, axis=0), [0.05, 0.95])
    found = bootstrap_of_means(groups, level=0.9, resamples=200, seed=seed)
    assert found == pytest.approx(tuple(wanted))
    turned = [random.Random(1).sample(values, len(values)) for values in groups]
    assert bootstrap_of_means(turned, level=0.9, resamples=200, seed=seed) == found


def test_a_mean_of_means_needs_two_finite_values_in_every_group():
    assert bootstrap_of_means([[0.1, 0.2], [0.3]]) is None
    assert bootstrap_of_means([]) is None
    for options in ({"resamples": 0}, {"level": 1.0}):
        with pytest.raises(InputError):
            bootstrap_of_means([[0.1, 0.2]], **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not finite"):
        bootstrap_of_means([[0.1, math.nan]])
