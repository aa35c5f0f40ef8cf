"""What may be decided, what identifies a row, and what an edit makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reviews import decision
from synth_rows import make_row

from limrank_plugins.errors import InputError
from limrank_synth.review.decision import REASONS, Decision, edited, row_hash, tidy_name

ROW = make_row()
WHOLE: dict[str, Any] = decision(ROW).as_json()


def test_there_is_a_reason_for_each_key():
    assert len(REASONS) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "delete"}, "no action 'delete'"),
        ({"action": "reject"}, "needs a reason"),
        ({"action": "reject", "reason": "mood"}, "no reason 'mood'"),
        ({"action": "reject", "reason": "other"}, "needs a note"),
        ({"action": "reject", "reason": ["broken"]}, "reason must be a text"),
        ({"reason": "broken"}, "nothing else has one"),
        ({"note": "x" * 2001}, "at most 2,000 characters, but this one 2,001"),
        ({"action": "edit"}, "changes something"),
        ({"edits": {"passage": "x"}}, "nothing else does"),
        ({"action": "edit", "edits": ["passage"]}, "must be an object"),
        ({"action": "edit", "edits": {"id": "x"}}, "'id' cannot be edited"),
        ({"action": "edit", "edits": {"passage": " \n"}}, "passage must not be empty"),
        ({"action": "edit", "edits": {"passage": 3}}, "passage must not be empty"),
        ({"action": "edit", "edits": {"query": "x" * 100_001}}, "100,001 characters"),
        ({"action": "edit", "edits": {"relevant": "true"}}, "must be true or false"),
        ({"action": "edit", "edits": {"trace": "so </think> true"}}, "must not hold a <think>"),
        ({"action": "edit", "edits": {"trace": "so < THINK > true"}}, "must not hold a <think>"),
        ({"action": "undo"}, "names the entry"),
        ({"undoes": "entry-00000001"}, "nothing else does"),
        ({"reviewer": ""}, "1 to 80 visible"),
        ({"reviewer": "a\nb"}, "1 to 80 visible"),
        ({"reviewer": " ann"}, "1 to 80 visible"),
        ({"reviewer": 7}, "reviewer must be a text"),
        ({"id": "short"}, "8 to 64"),
        ({"row": ""}, "must not be empty"),
        ({"colour": "red"}, "unknown field 'colour'"),
    ],
)
def test_a_senseless_decision_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        Decision.from_json(WHOLE | changes)


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_a_decision_is_whole(missing: str):
    with pytest.raises(InputError, match=f"lacks '{missing}'"):
        Decision.from_json({name: value for name, value in WHOLE.items() if name != missing})


@pytest.mark.parametrize("value", [None, [], "accept", 1])
def test_a_decision_is_an_object(value: Any):
    with pytest.raises(InputError, match="a decision is a JSON object"):
        Decision.from_json(value)


def test_there_and_back():
    for entry in (
        decision(ROW),
        decision(ROW, action="reject", reason="other", note="odd"),
        decision(ROW, action="edit", edits={"relevant": False, "trace": "t"}),
        decision(ROW, action="undo", undoes="entry-00000001"),
    ):
        assert Decision.from_json(entry.as_json()) == entry


@given(st.text(max_size=100))
def test_a_tidy_name_is_tidy_or_refused(name: str):
    try:
        tidy = tidy_name(name)
    except InputError:
        return
    assert tidy_name(tidy) == tidy
    assert replace(decision(ROW), reviewer=tidy).reviewer == tidy


def test_one_person_is_one_name():
    assert tidy_name("  Zoe\u0301   Q. ") == "Zo\u00e9 Q."


@pytest.mark.parametrize(
    "changes",
    [
        {"query": "x"},
        {"passage": "x"},
        {"trace": "x"},
        {"relevant": False},
        {"intent": "x"},
        {"false_claim": True},
        {"kind": "expert"},
        {"domain": "x"},
        {"difficulty": "hard"},
        {"id": "x"},
    ],
)
def test_the_hash_is_of_what_is_judged(changes: dict[str, Any]):
    assert row_hash(replace(ROW, **changes)) != row_hash(ROW)


def test_the_hash_is_of_nothing_else():
    assert row_hash(replace(ROW, votes=(True,), second=(False,), sources=(), meta={})) == row_hash(ROW)


def test_the_hash_does_not_run_fields_together():
    assert row_hash(replace(ROW, query="ab", passage="c")) != row_hash(replace(ROW, query="a", passage="bc"))


def test_an_edited_query_is_a_query_of_its_own():
    other = replace(ROW, id="another", passage="p")
    first, second = edited(ROW, {"query": "new?"}), edited(other, {"query": "new?"})
    assert first.query_id == second.query_id != ROW.query_id
    assert edited(ROW, {"query": "newer?"}).query_id != first.query_id
    assert edited(ROW, {"passage": "new", "relevant": False}).query_id == ROW.query_id
