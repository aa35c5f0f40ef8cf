"""What holds after second thoughts and undos, against replaying by hand."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from reviews import current_decisions_of, decision
from synth_rows import make_rows

from limrank_synth.review.current_decisions import CurrentDecisions
from limrank_synth.review.decision import Decision

ROWS = make_rows(3)
A, B, C = ROWS


def undo(entry: Decision) -> Decision:
    row = next(row for row in ROWS if row.id == entry.row)
    return decision(row, entry.reviewer, "undo", undoes=entry.id)


def test_the_last_word_counts_and_reviewers_do_not_touch_each_other():
    first, second, other = decision(A), decision(A, action="reject"), decision(A, "bob")
    standing = current_decisions_of(ROWS, first, other, second)
    assert standing.of("ann") == {A.id: second}
    assert standing.on(A.id) == {"bob": other, "ann": second}
    assert list(standing.on(A.id)) == ["bob", "ann"], "the earliest that holds comes first"
    assert standing.reviewers == ["ann", "bob"]
    assert standing.decided() == {A.id}


def test_an_undo_brings_back_what_held_before():
    first, second = decision(A), decision(A, action="reject")
    standing = current_decisions_of(ROWS, first, second, undo(second))
    assert standing.of("ann") == {A.id: first}
    standing.add([undo(first)])
    assert standing.of("ann") == {}
    assert standing.reviewers == []
    assert standing.decided() == set()


def test_an_undo_takes_back_the_entry_it_names():
    first, second = decision(A), decision(A, action="reject")
    standing = current_decisions_of(ROWS, first, second, undo(first))
    assert standing.of("ann") == {A.id: second}
    assert standing.add([undo(second)]).of("ann") == {}


def test_an_undo_of_nothing_changes_nothing_and_is_counted():
    first = decision(A)
    standing = current_decisions_of(
        ROWS, first, undo(first), undo(first), replace(undo(first), reviewer="bob")
    )
    assert standing.of("ann") == {}
    assert len(standing.lost_undos) == 2


def test_a_decision_sent_twice_counts_once():
    first, second = decision(A), decision(A, action="reject")
    standing = current_decisions_of(ROWS, first, second, first)
    assert standing.of("ann") == {A.id: second}
    assert standing.knows(first.id)


def test_a_row_that_changed_or_went_is_open_again():
    gone = decision(replace(A, id="gone"))
    standing = current_decisions_of(ROWS, decision(A, hash="0" * 64), gone, decision(B))
    assert standing.of("ann").keys() == {B.id}
    assert len(standing.stale) == 2


def test_the_last_decision_among_the_rows_that_are_shown():
    on_a, on_b = decision(A), decision(B)
    standing = current_decisions_of(ROWS, on_a, on_b)
    assert standing.last("ann", [A.id, B.id]) == on_b
    assert standing.last("ann", [A.id]) == on_a
    assert standing.last("ann", [C.id]) is None
    assert standing.last("bob", [A.id]) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob"]), st.integers(0, 2), st.sampled_from(["accept", "reject", "undo"])
        ),
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_replayed_in_any_number_of_steps_it_is_what_each_reviewer_remembers(
    steps: list[tuple[str, int, str]], split: int
):
    entries: list[Decision] = []
    memory: dict[str, list[Decision]] = {"ann": [], "bob": []}
    for reviewer, number, action in steps:
        mine = memory[reviewer]
        if action != "undo":
            mine.append(decision(ROWS[number], reviewer, action))
            entries.append(mine[-1])
        elif mine:
            entries.append(undo(mine.pop()))
    hashes = {row.id: decision(row).hash for row in ROWS}
    standing = CurrentDecisions(hashes).add(entries[:split]).add(entries[split:])
    for reviewer, mine in memory.items():
        assert standing.of(reviewer) == {entry.row: entry for entry in mine}
        assert standing.last(reviewer, hashes) == (mine[-1] if mine else None)
    for row in ROWS:
        lasts = {name: [e for e in mine if e.row == row.id] for name, mine in memory.items()}
        assert standing.on(row.id) == {name: mine[-1] for name, mine in lasts.items() if mine}
