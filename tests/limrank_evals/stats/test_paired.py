"""Paired tests against every pattern of signs, integrated densities and counted coins."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_evals.stats import WinTieLoss, mcnemar, randomisation_test, t_test, won_tied_lost
from limrank_plugins.errors import InputError

DIFFERENCES = st.lists(st.sampled_from([-0.5, -0.25, 0.0, 0.1, 0.25, 0.7]), min_size=1, max_size=8)


def every_pattern(differences: list[float]) -> float:
    """The share of all patterns of signs whose sum is at least as far from 0."""
    reached = abs(sum(differences)) - 1e-9
    patterns = list(itertools.product([1, -1], repeat=len(differences)))
    hits = sum(
        abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= reached for signs in patterns
    )
    return hits / len(patterns)


@given(DIFFERENCES)
def test_few_differences_try_every_pattern_of_signs(differences: list[float]):
    assert randomisation_test(differences) == pytest.approx(every_pattern(differences))


def test_many_differences_are_sampled_near_the_exact_value(monkeypatch: pytest.MonkeyPatch):
    dice = random.Random(6)
    for shift in (0.0, 0.1, 0.25):
        differences = [dice.gauss(shift, 0.4) for _ in range(15)]
        exact = every_pattern(differences)
        sampled = randomisation_test(differences, resamples=20_000)
        with monkeypatch.context() as patched:
            patched.setattr("limrank_evals.stats.paired.BATCH", 999)
            assert randomisation_test(differences, resamples=20_000) == sampled
        assert sampled == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 20_000))
    far = [1.0] * 40
    assert randomisation_test(far, resamples=999) == 1 / 1000  # never 0


def student_tail(t: float, freedom: int) -> float:
    """P(|T| > t), by Simpson's rule over the density from 0 to t."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    x = np.linspace(0, t, 20_001)
    y = scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    inside = (t / 20_000) / 3 * (y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum())
    return 1 - 2 * float(inside)


def test_the_t_test_is_its_integral():
    dice = random.Random(7)
    for size in (2, 3, 10, 101):
        differences = [dice.gauss(0.1, 0.5) for _ in range(size)]
        centre = sum(differences) / size
        deviation = math.sqrt(sum((d - centre) ** 2 for d in differences) / (size - 1))
        t = abs(centre) / (deviation / math.sqrt(size))
        assert t_test(differences) == pytest.approx(student_tail(t, size - 1), abs=1e-7)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=14))
@settings(max_examples=60)
def test_mcnemar_counts_coins(answers: list[tuple[bool, bool]]):
    first, second = [a for a, _ in answers], [b for _, b in answers]
    p = mcnemar(first, second)
    discordant = [a for a, b in answers if a != b]
    if not answers:
        assert p is None
        return
    few = min(sum(discordant), len(discordant) - sum(discordant))
    coins = list(itertools.product([0, 1], repeat=len(discordant)))
    extreme = sum(sum(c) <= few for c in coins) + sum(sum(c) >= len(discordant) - few for c in coins)
    assert p == pytest.approx(min(1.0, extreme / len(coins)))
    assert mcnemar(second, first) == p


def test_mcnemar_of_many_questions_is_the_sum_of_its_tails():
    def answers(ours: int, theirs: int) -> tuple[list[bool], list[bool]]:
        return [True] * ours + [False] * theirs, [False] * ours + [True] * theirs

    for ours, theirs in ((530, 471), (700, 500)):
        tail = sum(math.comb(ours + theirs, i) for i in range(theirs + 1))
        assert mcnemar(*answers(ours, theirs)) == pytest.approx(2 * tail / (1 << (ours + theirs)), rel=1e-9)
    assert mcnemar(*answers(600, 600)) == 1.0


def test_won_tied_lost():
    assert won_tied_lost([0.1, 0.0, 1e-12, -0.2, -0.3]) == WinTieLoss(1, 2, 2)
    assert won_tied_lost([]) == WinTieLoss(0, 0, 0)


def test_too_little_to_say():
    assert randomisation_test([]) is None
    assert randomisation_test([0.0, 0.0]) == 1.0
    assert t_test([0.5]) is None
    assert t_test([0.0, 0.0]) == 1.0
    assert t_test([0.5, 0.5]) == 0.0
    assert t_test([0.3 - 0.7, 0.1 - 0.5]) == 0.0  # equal but for rounding


def test_p_values_of_no_difference_are_uniform():
    dice = np.random.default_rng(8)
    for test in (lambda d: randomisation_test(d, resamples=300), t_test):
        found = np.array([test(dice.normal(0, 1, 20).tolist()) for _ in range(300)])
        assert 0.01 <= (found < 0.05).mean() <= 0.10
        assert 0.4 <= found.mean() <= 0.6


def test_bad_input():
    for test in (randomisation_test, t_test):
        with pytest.raises(InputError, match="not finite"):
            test([0.1, math.nan])
    with pytest.raises(InputError, match="resamples"):
        randomisation_test([0.1], resamples=0)
    with pytest.raises(InputError, match="same questions"):
        mcnemar([True], [])
