"""Every two reviewers on the rows both decided; what counts as a dispute."""

from __future__ import annotations

import pytest
from reviews import current_decisions_of, decision
from synth_rows import make_rows

from limrank_synth.review.reviewer_agreement import compare, disagreements

ROWS = make_rows(50)
IDS = [row.id for row in ROWS]


def test_every_two_reviewers_on_the_rows_both_decided():
    # ann and bob as by hand above, an edit being a keep; cy shares one row with bob, dee none.
    mine = ["accept"] * 20 + ["edit"] * 5 + ["reject"] * 25
    theirs = ["accept"] * 20 + ["reject"] * 5 + ["edit"] * 10 + ["reject"] * 15
    entries = [
        decision(row, name, action, **({"edits": {"passage": name}} if action == "edit" else {}))
        for name, actions in (("ann", mine), ("bob", theirs))
        for row, action in zip(ROWS, actions, strict=True)
    ]
    standing = current_decisions_of(ROWS, *entries, decision(ROWS[0], "cy"))
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
    standing = current_decisions_of(
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
