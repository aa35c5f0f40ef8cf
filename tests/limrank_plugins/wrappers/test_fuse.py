"""Fused scores against the two formulas written plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_parts import QUERY, Part, finished, numbers, told

from limrank_plugins.data import Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.verdicts import ranked
from limrank_plugins.wrappers.fuse import Fuse, z_scores

finite = st.one_of(
    st.sampled_from([0.0, 0.1, 0.5, 1.0, -3.0]),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def tables(
    draw: st.DrawFn, values: st.SearchStrategy = finite
) -> tuple[list[list[float | None]], list[float]]:
    size, parts = draw(st.integers(1, 9)), draw(st.integers(2, 4))
    row = st.lists(st.one_of(values, values, values, st.none()), min_size=size, max_size=size)
    weights = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=parts, max_size=parts)
    return draw(st.lists(row, min_size=parts, max_size=parts)), draw(weights.filter(any))


def fused(rows: list[list[float | None]], wrapper: Fuse) -> list[Verdict]:
    parts = [Part(told(row, 7), name=f"part {i}") for i, row in enumerate(rows)]
    outcome = finished(wrapper.of(parts)(QUERY, numbers(len(rows[0])), [part.rank for part in parts]))
    assert outcome.order is None
    assert all(part.asked == [[str(i) for i in range(len(rows[0]))]] for part in parts)
    return list(outcome.verdicts)


@given(tables(), st.integers(0, 100))
def test_reciprocal_ranks(table: tuple, k: int):
    rows, weights = table
    for i, verdict in enumerate(fused(rows, Fuse("rrf", tuple(weights), k))):
        if any(row[i] is None for row in rows):
            assert verdict.score is None
            assert verdict.failure == f"no answer about {i}"
            continue
        expected = 0.0
        for row, weight in zip(rows, weights, strict=True):
            better = sum(1 for score in row if score is not None and score > row[i])
            expected += weight / (k + better + 1)
        assert verdict.score == pytest.approx(expected, rel=1e-12)
        assert verdict.failure is None


@given(tables())
def test_scores_on_one_scale(table: tuple):
    rows, weights = table
    for i, verdict in enumerate(fused(rows, Fuse("minmax", tuple(weights)))):
        if any(row[i] is None for row in rows):
            assert verdict.failure == f"no answer about {i}"
            continue
        expected = 0.0
        for row, weight in zip(rows, weights, strict=True):
            known = [score / 4 for score in row if score is not None]
            low, high = min(known), max(known)
            if high > low and high - low > 1e-300:
                expected += weight * (row[i] / 4 - low) / (high - low)
            elif max(s for s in row if s is not None) > min(s for s in row if s is not None):
                return  # so near 0 that a quarter is not exact: the next test's
        assert verdict.score == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert 0 <= verdict.score <= sum(weights) * (1 + 1e-12)


@given(tables(st.sampled_from([0.0, 0.1, 0.5, 1.0, -3.0, 7.25, 1e6])))
def test_scores_in_standard_deviations(table: tuple):
    rows, weights = table
    expected = [0.0] * len(rows[0])
    for row, weight in zip(rows, weights, strict=True):
        known = [score for score in row if score is not None]
        spread = np.std(known) if len(set(known)) > 1 else 0.0
        for i, score in enumerate(row):
            if score is not None and spread:
                expected[i] += weight * (score - np.mean(known)) / spread
    for i, verdict in enumerate(fused(rows, Fuse("zscore", tuple(weights)))):
        if any(row[i] is None for row in rows):
            assert verdict.failure == f"no answer about {i}"
        else:
            assert verdict.score == pytest.approx(expected[i], rel=1e-9, abs=1e-9)


def test_standard_deviations_of_the_largest_and_the_smallest_numbers():
    assert z_scores([-1.7e308, 1.7e308]) == [-1.0, 1.0]
    assert z_scores([0.0, 5e-324]) == [-1.0, 1.0]
    assert z_scores([0.1, 0.1, 0.1]) == [0.0, 0.0, 0.0]
    assert z_scores([3.0]) == [0.0]
    assert z_scores([]) == []


def test_neither_the_largest_nor_the_smallest_numbers_are_lost():
    most = 1.7e308
    scores = [j.score for j in fused([[-most, 0.0, most], [5e-324, 0.0, 0.0]], Fuse("minmax"))]
    assert scores == [1.0, 0.5, 1.0]
    assert [j.score for j in fused([[3.0, 3.0], [1.0, 2.0]], Fuse("minmax"))] == [0.0, 1.0]


def test_equal_scores_share_a_rank_and_the_next_is_counted_on():
    scores = [j.score for j in fused([[0.5, 0.5, 0.1], [0.0, 0.0, 0.0]], Fuse(k=0))]
    assert scores == [1 + 1, 1 + 1, 1 / 3 + 1]


def test_a_tie_breaker_counts_only_where_all_have_one():
    def part(ties: list[float | None]) -> Part:
        return Part(lambda text: Verdict(0.5, tie=ties[int(text)]))

    def scores(ties: list[float | None]) -> list[float | None]:
        parts = [part(ties), part(ties)]
        outcome = finished(Fuse(k=0)(QUERY, numbers(3), [p.rank for p in parts]))
        return [verdict.score for verdict in outcome.verdicts]

    assert scores([0.1, 0.3, 0.2]) == [2 / 3, 2.0, 1.0]
    assert scores([0.1, None, 0.2]) == [2.0, 2.0, 2.0]


def test_a_part_without_scores_gives_ranks():
    backwards = Part(lambda text: Verdict(None), score_kind="rank", order=lambda texts: [2, 1, 0])
    scored = Part(told([0.3, 0.2, 0.1]))
    outcome = finished(Fuse(weights=(1.0, 3.0))(QUERY, numbers(3), [scored.rank, backwards.rank]))
    assert ranked(outcome.verdicts) == [2, 1, 0]
    assert outcome.verdicts[0].score == pytest.approx(1 / 61 + 3 / 63)
    for method in ("minmax", "zscore"):
        with pytest.raises(InputError, match="'part' gives no scores"):
            Fuse(method).of([scored, backwards])


def test_the_cost_of_all_and_the_last_thought_are_kept():
    spoke = Part(lambda text: Verdict(0.5, explanation="a thought", cut_tokens=4, repairs=1))
    silent = Part(lambda text: Verdict(0.5, usage=Usage(calls=2), cut_tokens=3, repairs=2))
    (verdict,) = finished(Fuse()(QUERY, numbers(1), [spoke.rank, silent.rank])).verdicts
    assert (verdict.explanation, verdict.cut_tokens, verdict.repairs) == ("a thought", 4, 3)
    assert verdict.usage.calls == 2
    assert verdict.score == 2 / 61


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "mean"},
        {"k": -1},
        {"k": 1.5},
        {"k": True},
        {"weights": (0.0, 0.0)},
        {"weights": (1.0, -1.0)},
        {"weights": (1.0, math.nan)},
        {"weights": (math.nan, 1.0)},
        {"weights": (1.0, math.inf)},
        {"weights": (1.7e308, 1.7e308)},
    ],
)
def test_values_that_cannot_be_meant(bad: dict):
    with pytest.raises(InputError):
        Fuse(**bad)


def test_parts_and_weights_are_as_many():
    part = Part(told([]))
    with pytest.raises(InputError, match="at least two"):
        Fuse().of([part])
    with pytest.raises(InputError, match="3 weights for 2 recipes"):
        Fuse(weights=(1.0, 1.0, 1.0)).of([part, part])
