"""Kappa against scikit-learn, tau against scipy, and the bootstrap of any number against scipy's own."""

from __future__ import annotations

import numpy as np
import pytest

from limrank_evals.stats import bootstrap_of
from limrank_evals.stats.agreement_coefficients import disagreement, kendall_tau, weighted_kappa
from limrank_plugins.errors import InputError
from limrank_synth.kappa import cohens_kappa

metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn: pip install 'limrank[evals]'")
stats = pytest.importorskip("scipy.stats", reason="needs scipy: pip install 'limrank[evals]'")


def table(first: np.ndarray, second: np.ndarray, size: int = 4) -> np.ndarray:
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (first, second), 1)
    return counts


@pytest.mark.parametrize("seed", range(20))
def test_kappa_is_scikit_learns(seed: int):
    draw = np.random.default_rng(seed)
    pairs = [(draw.integers(0, 4, 30), draw.integers(0, 2 + seed % 3, 30)) for _ in range(3)]
    tables = np.stack([table(*pair) for pair in pairs])
    for power, weights in ((0, None), (1, "linear"), (2, "quadratic")):
        expected = [
            metrics.cohen_kappa_score(first, second, labels=range(4), weights=weights)
            for first, second in pairs
        ]
        assert weighted_kappa(tables, disagreement(4, power)) == pytest.approx(expected, abs=1e-12)
    plain = [cohens_kappa(zip(*pair, strict=True)).kappa for pair in pairs]
    assert weighted_kappa(tables, disagreement(4, 0)) == pytest.approx(plain, abs=1e-12)


def test_kappa_of_one_grade_alone_is_not_defined():
    always = table(np.full(5, 2), np.full(5, 2))
    both = weighted_kappa(np.stack([always, np.eye(4, dtype=np.int64)]), disagreement(4, 2))
    assert np.isnan(both[0])
    assert both[1] == 1
    assert cohens_kappa([(2, 2)] * 5).kappa is None


@pytest.mark.parametrize("seed", range(20))
def test_tau_is_scipys_with_ties(seed: int):
    draw = np.random.default_rng(seed)
    first, second = draw.integers(0, 4, (5, 6)) / 3, draw.integers(0, 4, (5, 6)) / 7
    expected = [stats.kendalltau(*pair).statistic for pair in zip(first, second, strict=True)]
    assert kendall_tau(first, second) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_tau_takes_roundings_for_ties_and_needs_two_systems():
    assert np.isnan(kendall_tau(np.array([0.1 + 0.2, 0.3]), np.array([1.0, 2.0])))
    assert np.isnan(kendall_tau(np.array([1.0]), np.array([2.0])))
    assert kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([5.0, 4.0, 3.0])) == -1


def test_the_bootstrap_of_a_mean_is_scipys_percentile_interval():
    values = np.random.default_rng(3).random(17)
    ours = bootstrap_of(values[:, None], lambda drawn: drawn.mean((-2, -1)), resamples=999, seed=5)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=999, method="percentile", random_state=np.random.default_rng(5)
    ).confidence_interval
    assert ours == pytest.approx(tuple(theirs))


def test_draws_without_a_number_are_left_out():
    rows = np.array([[1.0], [1.0], [2.0], [1.0], [1.0]])

    def spread(drawn: np.ndarray) -> np.ndarray:
        sums = drawn.sum((-2, -1))
        return np.where(sums > 5, sums, np.nan)  # of two thirds of the draws, as 1 - (4/5)^5 = .67

    assert bootstrap_of(rows, spread, resamples=500) == pytest.approx((6, 8), abs=1)
    assert bootstrap_of(rows, lambda drawn: np.full(drawn.shape[:-2], np.nan), resamples=50) is None
    assert bootstrap_of(rows[:1], spread, resamples=50) is None
    with pytest.raises(InputError, match="level"):
        bootstrap_of(rows, spread, level=1.0)
