"""The reviewed set: what stays, with which text, and what happens where reviewers differ."""

from __future__ import annotations

import pytest
from reviews import current_decisions_of, decision
from synth_rows import make_rows

from limrank_plugins.errors import InputError
from limrank_synth.records import LabelledPassage
from limrank_synth.review.decision import Decision
from limrank_synth.review.reviewed_set import apply

ROWS = make_rows(6)
A, B, C, D, E, F = ROWS


def kept(*entries: Decision, **options: object) -> dict[str, LabelledPassage]:
    return {row.id: row for row in apply(ROWS, current_decisions_of(ROWS, *entries), **options).rows}


def test_accepted_edited_rejected_and_undecided_rows():
    done = apply(
        ROWS,
        current_decisions_of(
            ROWS,
            decision(C, action="edit", edits={"passage": "better", "relevant": False}),
            decision(A),
            decision(B, action="reject", reason="leak", note="says 'relevant'"),
            decision(D, action="reject", reason="other", note="dull"),
        ),
    )
    assert [row.id for row in done.rows] == [A.id, C.id], "in the order of the rows"
    assert (done.rows[1].passage, done.rows[1].relevant) == ("better", False)
    assert (done.rows[1].query, done.rows[1].trace) == (C.query, C.trace)
    assert done.rows[0].meta == A.meta | {"review": {"kept_by": ["ann"], "rejected_by": [], "edited": []}}
    assert done.rows[1].meta["review"]["edited"] == ["passage", "relevant"]
    assert {r.item: r.reason for r in done.rejections} == {
        B.id: "ann: leak, says 'relevant'",
        D.id: "ann: dull",
    }
    assert {r.stage for r in done.rejections} == {"review"}
    assert (done.disputed, done.unreviewed) == ([], 2)
    assert "review" not in A.meta, "what was given is not changed"


def test_undecided_rows_can_stay_as_they_are():
    found = kept(decision(A, action="reject"), keep_unreviewed=True)
    assert list(found) == [row.id for row in ROWS[1:]]
    assert found[B.id] is B


KEEP, REJECT = "accept", "reject"
X, Y = {"passage": "x"}, {"passage": "y"}


@pytest.mark.parametrize(
    ("words", "drop", "majority", "first"),
    [
        # each word: an action, or edits; each result: None where the row goes, else its edits
        ([KEEP, KEEP], {}, {}, {}),
        ([REJECT, REJECT], None, None, None),
        ([X, X], X, X, X),
        ([KEEP, REJECT], None, None, {}),
        ([REJECT, KEEP], None, None, None),
        ([REJECT, KEEP, KEEP], None, {}, None),
        ([KEEP, REJECT, REJECT], None, None, {}),
        ([KEEP, X], None, {}, {}),
        ([X, KEEP], None, X, X),
        ([X, Y, Y], None, Y, X),
        ([X, Y, REJECT], None, X, X),
        ([REJECT, Y, X, X], None, X, None),
        ([REJECT, Y, X, REJECT], None, None, None),
    ],
)
def test_disagreements(words: list[object], drop: object, majority: object, first: object):
    names = ["dee", "ann", "cy", "bob"]
    entries = [
        decision(A, name, "edit", edits=word) if isinstance(word, dict) else decision(A, name, str(word))
        for name, word in zip(names, words, strict=False)
    ]
    for resolution, expected in (("drop", drop), ("majority", majority), ("first", first)):
        done = apply(ROWS, current_decisions_of(ROWS, *entries), resolution=resolution)
        texts = [row.passage for row in done.rows]
        assert texts == ([] if expected is None else [expected.get("passage", A.passage)]), resolution
        assert len(done.rejections) == (expected is None)
        assert done.disputed == ([A.id] if any(word != words[0] for word in words) else [])


def test_first_is_the_decision_that_holds_not_one_that_was_replaced():
    entries = [decision(A, "ann"), decision(A, "bob", "reject"), decision(A, "ann", "edit", edits=X)]
    assert kept(*entries, resolution="first") == {}


def test_a_disputed_rejection_has_everybodys_word():
    standing = current_decisions_of(
        ROWS,
        decision(A, "ann"),
        decision(A, "bob", "reject", reason="leak"),
        decision(A, "cy", "edit", edits=X),
    )
    (rejection,) = apply(ROWS, standing).rejections
    assert rejection.reason == "ann: accepted; bob: leak; cy: accepted with edits"


def test_there_is_no_other_way():
    with pytest.raises(InputError, match="drop, majority, first, not by 'vote'"):
        apply(ROWS, current_decisions_of(ROWS), resolution="vote")
