"""Thresholds against brute force, and against the place where two normal densities cross."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_plugins.thresholds import fit_threshold

# Few different scores, so that there are ties.
SCORES = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=12)


def error(relevant: list[float], irrelevant: list[float], t: float) -> float:
    missed = sum(score < t for score in relevant) / len(relevant)
    return missed + sum(score >= t for score in irrelevant) / len(irrelevant)


def f1(relevant: list[float], irrelevant: list[float], t: float) -> float:
    hits = sum(score >= t for score in relevant)
    kept = hits + sum(score >= t for score in irrelevant)
    return 2 * hits / (kept + len(relevant))


def every(relevant: list[float], irrelevant: list[float]) -> list[float]:
    """At every score, below and above all, and between."""
    scores = sorted({*relevant, *irrelevant})
    between = [(a + b) / 2 for a, b in pairwise(scores)]
    return [scores[0] - 1, *scores, *between, scores[-1] + 1]


@given(relevant=SCORES, irrelevant=SCORES)
def test_no_threshold_has_a_smaller_total_error(relevant: list[float], irrelevant: list[float]):
    least = min(error(relevant, irrelevant, t) for t in every(relevant, irrelevant))
    if least >= 1 - 1e-9:
        with pytest.raises(InputError, match="do not separate"):
            fit_threshold(relevant, irrelevant)
        return
    found = fit_threshold(relevant, irrelevant)
    assert error(relevant, irrelevant, found) == pytest.approx(least)
    scores = sorted({*relevant, *irrelevant})
    assert all(
        error(relevant, irrelevant, t) > least + 1e-9
        for t in scores
        if t < min(s for s in scores if s >= found)
    ), "the lowest of several"


@given(relevant=SCORES, irrelevant=SCORES)
def test_no_threshold_has_a_better_f1(relevant: list[float], irrelevant: list[float]):
    most = max(f1(relevant, irrelevant, t) for t in every(relevant, irrelevant))
    assert f1(relevant, irrelevant, fit_threshold(relevant, irrelevant, by="f1")) == pytest.approx(most)


@given(relevant=SCORES, irrelevant=SCORES, target=st.floats(0.05, 1))
def test_the_lowest_threshold_of_a_precision(relevant: list[float], irrelevant: list[float], target: float):
    def precision(t: float) -> float:
        hits = sum(score >= t for score in relevant)
        return hits / (hits + sum(score >= t for score in irrelevant)) if hits else 0.0

    fine = [t for t in sorted({*relevant, *irrelevant}) if precision(t) >= target]
    if not fine:
        with pytest.raises(InputError, match="no threshold reaches precision"):
            fit_threshold(relevant, irrelevant, by="precision", precision=target)
        return
    found = fit_threshold(relevant, irrelevant, by="precision", precision=target)
    assert precision(found) >= target
    assert sum(s >= found for s in relevant + irrelevant) == sum(s >= fine[0] for s in relevant + irrelevant)


@pytest.mark.parametrize(("mean", "spread"), [(2.0, 1.0), (3.0, 1.0), (2.5, 2.0)])
def test_it_is_where_two_normal_densities_cross(mean: float, spread: float):
    # Irrelevant ~ N(0, 1), relevant ~ N(mean, spread): equal densities between the two means.
    draw = random.Random(7)
    irrelevant = [draw.gauss(0, 1) for _ in range(40_000)]
    relevant = [draw.gauss(mean, spread) for _ in range(40_000)]
    low, high = 0.0, mean
    for _ in range(60):
        middle = (low + high) / 2
        difference = math.log(spread) + ((middle - mean) / spread) ** 2 / 2 - middle**2 / 2
        low, high = (middle, high) if difference > 0 else (low, middle)
    assert fit_threshold(relevant, irrelevant) == pytest.approx(low, abs=0.12)


def test_how_many_there_are_of_each_kind_does_not_move_the_crossing():
    relevant, irrelevant = [0.9, 0.8, 0.4], [0.1, 0.2, 0.5]
    assert fit_threshold(relevant, irrelevant) == pytest.approx(0.3)
    assert fit_threshold(relevant * 9, irrelevant) == pytest.approx(0.3)
    assert fit_threshold(relevant, irrelevant * 9) == pytest.approx(0.3)
    assert fit_threshold(relevant, irrelevant * 9, by="f1") == pytest.approx(0.65), (
        "the middle of 0.5 and 0.8"
    )


def test_scores_that_separate_are_split_in_the_middle():
    assert fit_threshold([0.75], [0.25]) == 0.5
    a = 0.1
    b = math.nextafter(a, 1)
    assert fit_threshold([b], [a]) == b, "no number between them: the relevant one is kept"
    assert fit_threshold([1e308], [-1e308]) == 0.0


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: fit_threshold([], [0.1]), "relevant_scores is empty"),
        (lambda: fit_threshold([0.1], []), "irrelevant_scores is empty"),
        (lambda: fit_threshold([math.nan], [0.1]), "nan"),
        (lambda: fit_threshold([0.1], ["x"]), "'x'"),
        (lambda: fit_threshold([0.1], [None]), "None"),
        (lambda: fit_threshold([0.5], [0.5]), "do not separate"),
        (lambda: fit_threshold([0.1], [0.9]), "do not separate"),
        (lambda: fit_threshold([0.9], [0.1], by="auc"), "'auc'"),
        (lambda: fit_threshold([0.9], [0.1], by="precision"), "together"),
        (lambda: fit_threshold([0.9], [0.1], precision=0.5), "together"),
        (lambda: fit_threshold([0.9], [0.1], by="precision", precision=1.5), "1.5"),
    ],
)
def test_bad_values_are_named(call: Callable[[], float], match: str):
    with pytest.raises(InputError, match=match):
        call()
