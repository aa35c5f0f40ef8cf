"""The sample: every stratum in its share, the same whatever the file's order."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synth_rows import make_row, make_rows

from limrank_plugins.errors import InputError
from limrank_synth.records import LabelledPassage
from limrank_synth.review.sampling import stratified, stratum


def of(counts: dict[str, int]) -> list[LabelledPassage]:
    """Rows that differ in difficulty alone."""
    names = [name for name, count in counts.items() for _ in range(count)]
    return [make_row(0, id=f"r{i}", difficulty=name) for i, name in enumerate(names)]


def test_places_go_by_share_and_the_rest_to_the_largest_remainders():
    # 10 of 100: shares 4.7, 3.4 and 1.9; one place each to the first (.7) and the third (.9).
    sample = stratified(of({"easy": 47, "medium": 34, "hard": 19}), 10)
    assert Counter(row.difficulty for row in sample) == {"easy": 5, "medium": 3, "hard": 2}


def test_purpose_kind_and_difficulty_are_strata():
    assert len({stratum(row) for row in make_rows(240)}) == 60


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 3))
def test_exact_size_near_shares_and_no_order(picks: list[int], size: int, seed: int):
    rows = [make_row(pick, id=f"r{i}") for i, pick in enumerate(picks)]
    sample = stratified(rows, size, seed)
    assert len(sample) == min(size, len(rows))
    assert sample == [row for row in rows if row in sample]
    whole, part = Counter(map(stratum, rows)), Counter(map(stratum, sample))
    for key, count in whole.items():
        assert abs(part[key] - len(sample) * count / len(rows)) < 1
    shuffled = rows.copy()
    random.Random(1).shuffle(shuffled)
    assert {row.id for row in stratified(shuffled, size, seed)} == {row.id for row in sample}


def test_another_seed_is_another_sample():
    rows = make_rows(240)
    assert stratified(rows, 100) == stratified(rows, 100, 0)
    assert stratified(rows, 100, 1) != stratified(rows, 100, 0)


def test_an_empty_sample_is_an_error():
    with pytest.raises(InputError, match="at least 1 row, but 0"):
        stratified(make_rows(3), 0)
