"""What the page can ask for: rows, decisions once, undos, and nobody else's opinion before one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reviews import decision
from synth_rows import make_row, make_rows

from limrank_plugins.errors import InputError
from limrank_synth.guidelines import load_guidelines
from limrank_synth.review.decision import row_hash
from limrank_synth.review.decision_log import DecisionLog
from limrank_synth.review.review_session import NotFound, ReviewSession, RowChangedError

ROWS = make_rows(12)
SHOWN = ROWS[:10]
A, B, C = ROWS[:3]
_numbers = iter(range(10**9))

Open = Callable[..., ReviewSession]


@pytest.fixture
def open_session(tmp_path: Path) -> Open:
    def opened(**changes: Any) -> ReviewSession:
        return ReviewSession(
            ROWS, DecisionLog(tmp_path / "log.jsonl"), load_guidelines(), **({"shown": SHOWN} | changes)
        )

    return opened


def said(row: Any = A, reviewer: str = "ann", action: str = "accept", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"page-{next(_numbers):08}",
        "reviewer": reviewer,
        "row": row.id,
        "hash": row_hash(row),
        "action": action,
    } | fields


def undo(reviewer: str = "ann") -> dict[str, Any]:
    return {"id": f"undo-{next(_numbers):08}", "reviewer": reviewer}


def test_the_overview_has_what_the_page_shows(open_session: Open):
    found = open_session(reviewer=" ann ").overview()
    assert [row["id"] for row in found["rows"]] == [row.id for row in SHOWN]
    assert found["total"] == 12
    assert found["meaning"][A.intent].startswith("answers the query")
    assert len(found["reasons"]) == 9
    assert found["reviewer"] == "ann"
    assert found["notices"] == []


def test_a_row_has_everything_and_what_one_decided(open_session: Open):
    session = open_session()
    assert session.row(A.id, "ann") == {"row": A.as_json(), "hash": row_hash(A), "decision": None}
    session.decide(said(action="edit", edits={"trace": "t"}))
    assert session.row(A.id, "ann")["decision"]["edits"] == {"trace": "t"}
    assert session.row(A.id, "bob")["decision"] is None


def test_decisions_survive_a_restart(open_session: Open):
    session = open_session()
    session.decide(said(A))
    session.decide(said(B, action="reject", reason="leak", note="n"))
    session.decide(said(A, action="edit", edits={"relevant": not A.relevant}))
    before = session.state("ann")
    assert {row: found["action"] for row, found in before["decisions"].items()} == {
        A.id: "edit",
        B.id: "reject",
    }
    again = open_session()
    assert again.state("ann") == before
    assert again.row(A.id, "ann") == session.row(A.id, "ann")


def test_two_sessions_on_one_log_see_each_other(open_session: Open):
    one, other = open_session(), open_session()
    one.decide(said(A, "ann"))
    other.decide(said(A, "bob", "reject", reason="leak"))
    assert one.state("bob") == other.state("bob")
    assert one.state("ann")["disputed"] == other.state("ann")["disputed"] == [A.id]


def test_the_same_decision_sent_twice_is_one_line(open_session: Open):
    session, same = open_session(), said(A)
    assert session.decide(same) == session.decide(same) == open_session().decide(same)
    undone = undo()
    assert session.undo(undone)["decision"] is None
    session.decide(said(B))
    session.undo(undone)
    assert session.state("ann")["decisions"].keys() == {B.id}
    assert len(session._log.path.read_text().splitlines()) == 3


def test_undo_takes_back_the_last_decision_shown_and_only_ones_own(open_session: Open):
    everything = open_session(shown=None)
    everything.decide(said(A))
    everything.decide(said(B, action="reject", reason="leak"))
    everything.decide(said(ROWS[11]))
    everything.decide(said(C, "bob"))
    session = open_session()
    assert session.undo(undo())["row"] == B.id, "the last one was on a row that is not shown here"
    assert session.undo(undo()) == {"row": A.id, "decision": None}
    with pytest.raises(NotFound, match="nothing to undo"):
        session.undo(undo())
    assert session.state("bob")["decisions"].keys() == {C.id}


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        (said(make_row(0, id="strange")), NotFound, "no row 'strange'"),
        (said(ROWS[11]), NotFound, "no row"),
        (said(hash="0" * 64), RowChangedError, "has changed"),
        (said(action="undo", undoes="entry-00000001"), InputError, "asked for as such"),
        (said(action="edit", edits={"passage": A.passage}), InputError, "does not change the passage"),
        (said(action="edit", edits={"relevant": A.relevant}), InputError, "does not change the relevant"),
        (said(reviewer="\n"), InputError, "1 to 80"),
        (said(time=3, colour=1), InputError, "unknown field 'colour'"),
        (said() | {"reviewer": None}, InputError, "needs a reviewer"),
        ({}, InputError, "needs a reviewer"),
    ],
)
def test_a_refused_decision_leaves_no_line(open_session: Open, what: Any, error: type, message: str):
    session = open_session()
    with pytest.raises(error, match=message):
        session.decide(what)
    assert session.state("ann")["decisions"] == {}
    assert not session._log.path.exists() or session._log.path.read_bytes() == b""


def test_the_time_is_the_servers(open_session: Open):
    session = open_session()
    session.decide(said(time="1999"))
    assert session.state("ann")["decisions"][A.id]["time"].startswith("20")


def test_text_no_file_can_hold_becomes_text_that_it_can(open_session: Open):
    session = open_session()
    session.decide(said(action="edit", edits={"passage": "half \ud800 a pair"}))
    assert session.row(A.id, "ann")["decision"]["edits"] == {"passage": "half \ufffd a pair"}


def test_nobody_sees_another_ones_word_before_their_own(open_session: Open):
    session = open_session()
    session.decide(said(A, "ann", "reject", reason="leak", note="secret"))
    session.decide(said(B, "ann"))
    session.decide(said(B, "bob", "reject", reason="broken"))
    session.decide(said(A, "cy"))
    assert session.state("bob")["disputed"] == [B.id], "that ann and cy differ on A is not bob's to know yet"
    for view in (session.state("bob"), session.row(A.id, "bob"), session.agreement("bob")):
        assert "secret" not in str(view)
    assert session.agreement("bob")["disagreements"][0]["row"] == B.id
    session.decide(said(A, "bob"))
    assert "secret" in str(session.agreement("bob"))
    pair = session.agreement("bob")["pairs"][0]
    assert (pair["rows"], pair["agreement"], pair["kappa"]) == (2, 0.0, -1.0)


def test_what_is_wrong_with_the_log_is_told(open_session: Open, tmp_path: Path):
    log = tmp_path / "log.jsonl"
    DecisionLog(log).append(decision(A, hash="0" * 64))
    with log.open("a") as stream:
        stream.write('{"id": "entry-0')
    notices = open_session().overview()["notices"]
    assert "line 2 is cut short" in notices[0]
    assert "1 decision in" in notices[1]
    assert "rows that have changed" in notices[1]


def test_two_rows_with_one_id_are_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="row id must be unique"):
        ReviewSession([A, A], DecisionLog(tmp_path / "log.jsonl"), load_guidelines())
