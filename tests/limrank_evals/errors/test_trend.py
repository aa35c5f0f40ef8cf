"""Spearman's rho against its definition and scipy's, the p-value against every order."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from limrank_evals.errors import trend
from limrank_evals.errors.trend import spearman
from limrank_plugins.errors import InputError

VALUES = st.sampled_from([0.0, 0.5, 1.0, 2.0])


def rho(first: list[float], second: list[float]) -> float:
    """The correlation of the ranks, which is what Spearman's rho is."""
    return float(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=3, max_size=6))
def test_few_queries_try_every_order(pairs):
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    found = spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
        return
    assert found.rho == pytest.approx(float(stats.spearmanr(first, second).statistic))
    orders = [rho(first, list(order)) for order in itertools.permutations(second)]
    assert found.p == pytest.approx(sum(abs(o) >= abs(found.rho) - 1e-9 for o in orders) / len(orders))


def test_many_queries_are_drawn_near_the_exact_value(monkeypatch: pytest.MonkeyPatch):
    dice = random.Random(3)
    first = [float(dice.randint(1, 3)) for _ in range(7)]
    second = [a + dice.gauss(0, 1.2) for a in first]
    exact = spearman(first, second)
    monkeypatch.setattr(trend, "EXACT", 0)
    drawn = spearman(first, second, resamples=20_000)
    assert drawn.rho == exact.rho
    assert drawn.p == pytest.approx(exact.p, abs=4 * (0.25 / 20_000) ** 0.5)
    monkeypatch.setattr(trend, "BATCH", 50)
    assert spearman(first, second, resamples=20_000) == pytest.approx(drawn, abs=0.02)


def test_a_clear_trend_no_trend_and_none_at_all():
    counts = [float(n) for n in range(1, 41)]
    assert spearman(counts, [n**2 for n in counts], resamples=999) == (pytest.approx(1.0), 1 / 1000)
    assert spearman(counts, [-n for n in counts], resamples=999) == (pytest.approx(-1.0), 1 / 1000)
    dice = random.Random(1)
    noise = [dice.random() for _ in counts]
    assert spearman(counts, noise).p > 0.05
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1, 2], [1, 2]) is None


def test_the_order_of_the_queries_changes_nothing():
    dice = random.Random(2)
    pairs = [(float(dice.randint(1, 5)), dice.random()) for _ in range(30)]
    mixed = random.Random(5).sample(pairs, len(pairs))
    assert spearman(*zip(*pairs, strict=True)) == spearman(*zip(*mixed, strict=True))


def test_bad_input():
    with pytest.raises(InputError, match="2 and 3 values"):
        spearman([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="not finite"):
        spearman([1, 2, 3], [1, 2, float("nan")])
    with pytest.raises(InputError, match="resamples must be a whole number >= 1"):
        spearman([1, 2, 3], [1, 2, 3], resamples=0)
