"""Cohen's kappa against the definition and by hand; what counts as a dispute."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reviews import decision, standing_of
from synth_rows import make_rows

from limrank_synth.filters.kappa import cohens_kappa
from limrank_synth.review.agreement import compare, disagreements

ROWS = make_rows(50)
IDS = [row.id for row in ROWS]


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


def test_every_two_reviewers_on_the_rows_both_decided():
    # ann and bob as by hand above, an edit being a keep; cy shares one row with bob, dee none.
    mine = ["accept"] * 20 + ["edit"] * 5 + ["reject"] * 25
    theirs = ["accept"] * 20 + ["reject"] * 5 + ["edit"] * 10 + ["reject"] * 15
    entries = [
        decision(row, name, action, **({"edits": {"passage": name}} if action == "edit" else {}))
        for name, actions in (("ann", mine), ("bob", theirs))
        for row, action in zip(ROWS, actions, strict=True)
    ]
    standing = standing_of(ROWS, *entries, decision(ROWS[0], "cy"))
    (ann_bob, ann_cy, bob_cy) = compare(standing, IDS)
    assert (ann_bob.first, ann_bob.second, ann_bob.rows) == ("ann", "bob", 50)
    counts = (ann_bob.both_keep, ann_bob.first_keeps, ann_bob.second_keeps, ann_bob.both_reject)
    assert counts == (20, 5, 10, 15)
    assert ann_bob.agreement == 0.7
    assert ann_bob.kappa == pytest.approx(0.4)
    assert (ann_cy.rows, ann_cy.agreement, ann_cy.kappa) == (1, 1.0, None)
    assert bob_cy.second == "cy"
    assert list(disagreements(standing, IDS)) == IDS[20:35]
    assert [pair.rows for pair in compare(standing, IDS[:10])] == [10, 1, 1]


def test_different_edits_are_a_dispute_and_different_reasons_are_not():
    a, b, c, d = ROWS[:4]
    standing = standing_of(
        ROWS,
        decision(a, "ann", "edit", edits={"passage": "x"}),
        decision(a, "bob", "edit", edits={"passage": "y"}),
        decision(b, "ann", "edit", edits={"passage": "x"}),
        decision(b, "bob", "edit", edits={"passage": "x"}),
        decision(c, "ann", "edit", edits={"passage": "x"}),
        decision(c, "bob"),
        decision(d, "ann", "reject", reason="broken"),
        decision(d, "bob", "reject", reason="leak"),
    )
    assert list(disagreements(standing, IDS)) == [a.id, c.id]
