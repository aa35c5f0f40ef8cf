"""nDCG against ir_measures and against its formula."""

from __future__ import annotations

import random
from math import log2

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.ndcg import ndcg


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=15), st.integers(1, 12))
def test_ndcg_is_ir_measures(gains: list[int], k: int):
    qrels = [ir_measures.Qrel("q", f"d{i}", gain) for i, gain in enumerate(gains)]
    run = [ir_measures.ScoredDoc("q", f"d{i}", float(-i)) for i in range(len(gains))]
    expected = ir_measures.calc_aggregate([ir_measures.nDCG @ k], qrels, run)[ir_measures.nDCG @ k]
    assert ndcg([float(gain) for gain in gains], k) == pytest.approx(expected, abs=1e-9)


def test_ndcg_is_the_formula():
    draw = random.Random(3)
    for _ in range(30):
        grades = [float(draw.randint(0, 3)) for _ in range(draw.randint(2, 15))]
        order = draw.sample(range(len(grades)), len(grades))
        gain = sum(grades[d] / log2(i + 2) for i, d in enumerate(order[:10]))
        ideal = sum(grade / log2(i + 2) for i, grade in enumerate(sorted(grades, reverse=True)[:10]))
        expected = gain / ideal if ideal else 0.0
        assert ndcg([grades[d] for d in order]) == pytest.approx(expected, abs=1e-9)
