"""Overlap and rank-biased overlap against their definitions, summed far beyond the rankings' ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_evals.ab.rank_overlap import overlap, rank_biased_overlap

RANKING = st.permutations(list("abcdefgh")).flatmap(
    lambda order: st.integers(1, 8).map(lambda length: list(order[:length]))
)


def by_definition(first: list[str], second: list[str], p: float) -> float:
    """(1 - p) Σ p^(d-1) A_d over 2,000 depths; what lies behind an end goes on as the paper extrapolates."""
    shorter, longer = sorted((first, second), key=len)
    s, length = len(shorter), len(longer)
    at_s = len(set(shorter) & set(longer[:s]))
    total = agreement = 0.0
    for depth in range(1, 2_001):
        if depth <= length:
            shared = len(set(shorter[:depth]) & set(longer[:depth]))
            agreement = (shared + at_s * max(0, depth - s) / s) / depth
        total += (1 - p) * p ** (depth - 1) * agreement
    return total


@given(RANKING, RANKING, st.sampled_from([0.5, 0.9, 0.98]))
@settings(max_examples=100, deadline=None)
def test_rbo_is_its_definition(first: list[str], second: list[str], p: float):
    rbo = rank_biased_overlap(first, second, p)
    assert rbo == pytest.approx(by_definition(first, second, p), abs=1e-9)
    assert rbo == pytest.approx(rank_biased_overlap(second, first, p))


def test_the_ends_of_rbo():
    assert rank_biased_overlap("abc", "abc") == pytest.approx(1)
    assert rank_biased_overlap("abc", "xyz") == 0
    assert rank_biased_overlap("", "") == 1
    assert rank_biased_overlap("", "a") == 0
    # A swap at the top costs more than one further down.
    assert rank_biased_overlap("abcd", "bacd") < rank_biased_overlap("abcd", "abdc") < 1


def test_overlap():
    assert overlap("abcd", "badc", 2) == 1
    assert overlap("abcd", "acbd", 2) == 0.5
    assert overlap("ab", "abcd", 10) == 0.5
    assert overlap("", "", 10) == 1
    assert overlap("ab", "xy", 10) == 0
