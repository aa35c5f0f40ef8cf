"""Cohen's kappa against scikit-learn's, the definition and a hand computation."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from synth_texts import clean_rows

from limrank_synth.filters.agreement import judges_report
from limrank_synth.kappa import cohens_kappa


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_it_is_scikit_learns(pairs: list[tuple[bool, bool]]):
    found = cohens_kappa(pairs)
    if found.kappa is None:
        assert len({value for pair in pairs for value in pair}) == 1
        return
    first, second = zip(*pairs, strict=True)
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_by_hand():
    # 20 both yes, 15 both no, 5 yes-no, 10 no-yes: p_o = 35/50, p_e = (25·30 + 25·20) / 50² = 1/2.
    pairs = [(True, True)] * 20 + [(False, False)] * 15 + [(True, False)] * 5 + [(False, True)] * 10
    assert cohens_kappa(pairs) == (50, 0.7, 0.5, pytest.approx(0.4))


def test_where_nothing_can_be_said():
    assert cohens_kappa([]).kappa is None
    assert cohens_kappa([(True, True)] * 9).kappa is None
    assert cohens_kappa([(True, False)] * 9).kappa == 0


def test_kappa_by_hand():
    # 20 both yes, 5 and 10 apart, 15 both no: p_o = 35/50, p_e = .5 * .6 + .5 * .4 = .5, kappa = .2 / .5.
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohens_kappa(pairs).kappa == pytest.approx(0.4, abs=1e-15)


def test_kappa_of_three_categories_by_hand():
    # p_o = 3/5; p_e = (2*1 + 2*3 + 1*1) / 25 = 9/25; kappa = (15 - 9) / (25 - 9).
    assert cohens_kappa(zip("aabbc", "abbbc", strict=True)).kappa == pytest.approx(11 / 16)


def test_perfect_chance_and_worse():
    assert cohens_kappa([(1, 1), (0, 0)]).kappa == 1
    assert cohens_kappa([(1, 1), (1, 0), (0, 1), (0, 0)]).kappa == 0
    assert cohens_kappa([(1, 0), (0, 1)]).kappa == -1


def test_kappa_is_not_defined_without_rows_or_with_one_answer():
    assert cohens_kappa([]).kappa is None
    assert cohens_kappa([(1, 1)] * 7).kappa is None
    assert cohens_kappa([(1, 0)] * 7).kappa == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_kappa_is_the_definition(pairs: list[tuple[int, int]]):
    n = len(pairs)
    observed = Fraction(sum(a == b for a, b in pairs), n)
    chance = sum(
        Fraction(sum(a == c for a, _ in pairs), n) * Fraction(sum(b == c for _, b in pairs), n)
        for c in range(4)
    )
    kappa = cohens_kappa(pairs).kappa
    assert (kappa is None) == (chance == 1)
    if kappa is not None:
        assert kappa == pytest.approx(float((observed - chance) / (1 - chance)))


def test_the_report_is_over_all_rows():
    rows = clean_rows(10)
    assert judges_report(rows) == {
        "two": {"items": 40, "observed": 1.0, "expected": 0.5, "kappa": 1.0},
        "intent": {"items": 40, "observed": 1.0, "expected": 0.5, "kappa": 1.0},
        "unanimous": 1.0,
    }
    wavering = [replace(row, second=(not row.relevant,), votes=(True, False, row.relevant)) for row in rows]
    report = judges_report(wavering)
    assert report["two"]["kappa"] == -1.0
    assert report["unanimous"] == 0.0
    alone = judges_report([replace(row, second=()) for row in rows])
    assert alone["two"] is None
    assert judges_report([]) == {"two": None, "intent": None, "unanimous": None}
    assert not math.isnan(report["intent"]["kappa"])
