"""The page in real headless Chromium, by keyboard, as a reviewer uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import chromium, needs_chromium
from review_page import CTRL_ENTER, ENTER, ESCAPE, LEFT, RIGHT, Page, actions, read_log, served
from synth_rows import make_row, make_rows

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "review.jsonl"


def test_a_reviewer_goes_through_ten_examples_by_keyboard_and_nothing_is_lost(page: Page, log: Path):
    rows = make_rows(10)
    with served(rows, log) as server:
        page.open(server)
        assert page.place == "Row 1 of 10"
        page.decide("a", on=1)
        page.decide("a", on=2)
        # Row 3: one word is added to the passage.
        page.type("e")
        page.until(lambda: page.visible("#passage-edit"))
        page.type(" Really.")
        page.decide(CTRL_ENTER, on=3)
        # Row 4: rejected with the fourth reason and a note; row 5 in the reviewer's own words.
        page.type("r")
        page.until(lambda: page.visible("#reject-dialog"))
        page.decide("4", on=4)
        page.type("r")
        page.until(lambda: page.visible("#reject-dialog"))
        page.js("document.getElementById('note').focus()")
        page.type("a 1st draft")
        page.decide(ENTER, on=5)
        # Back and forth decides nothing.
        page.type("k")
        page.until(lambda: page.place == "Row 5 of 10")
        assert page.text("#decision") == "rejected: a 1st draft"
        page.type(RIGHT)
        page.until(lambda: page.place == "Row 6 of 10")
        # Row 6: accepted, taken back, accepted.
        page.decide("a", on=6)
        page.type("u")
        page.until(lambda: page.place == "Row 6 of 10" and page.text("#decision") == "open")
        for number in range(6, 10):
            page.decide("a", on=number)
        page.type("a")
        page.until(lambda: "every row is decided" in page.text("#status"))
        assert page.text("#count") == "10 of 10 decided"

        def seen() -> list[tuple[str, str, str]]:
            found = []
            for number in range(1, 11):
                page.until(lambda n=number: page.place == f"Row {n} of 10")
                found.append((page.text("#decision"), page.text("#passage-text"), page.text("#verdict")))
                page.type("j")
            return found

        def to_first() -> None:
            for number in range(9, 0, -1):
                page.type(LEFT)
                page.until(lambda n=number: page.place == f"Row {n} of 10")

        to_first()
        before = seen()
        page.reload()
        assert page.place == "Row 10 of 10", "the row that was shown is shown again"
        assert page.text("#count") == "10 of 10 decided"
        to_first()
        assert seen() == before
    assert before[2] == ("edited and accepted", rows[2].passage + " Really.", "relevant")
    assert before[3][0] == "rejected: Nobody would ask this, or nothing could answer it"
    ids = [row.id for row in rows]
    expected = ["accept", "accept", "edit", "reject", "reject", "accept", "undo", *["accept"] * 5]
    order = [0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9]
    assert actions(log) == [("ann", ids[i], action) for i, action in zip(order, expected, strict=True)]
    entries, _ = read_log(log)
    assert entries[2].edits == {"passage": rows[2].passage + " Really."}
    assert (entries[3].reason, entries[4].reason, entries[4].note) == ("unreal-query", "other", "a 1st draft")
    # Another server, as after a restart: the log is all there is.
    with served(rows, log, reviewer="ann") as server:
        page.driver.get(server.url)
        page.until(lambda: page.text("#count") == "10 of 10 decided")


def test_what_was_typed_is_there_after_a_reload_until_it_is_saved_or_discarded(page: Page, log: Path):
    rows = make_rows(3)
    with served(rows, log) as server:
        page.open(server)
        page.type("e")
        page.until(lambda: page.visible("#passage-edit"))
        page.type(" Unsaved")
        assert page.visible("#draft")
        page.reload()
        page.until(lambda: page.visible("#passage-edit"))
        assert page.js("document.getElementById('passage-edit').value") == rows[0].passage + " Unsaved"
        page.type(" text", ESCAPE, "j")
        page.until(lambda: page.place == "Row 2 of 3")
        page.type("k")
        page.until(lambda: page.place == "Row 1 of 3")
        assert page.visible("#draft")
        assert page.text("#passage-text") == rows[0].passage, "a draft is no decision"
        page.type("e")
        page.until(lambda: page.visible("#passage-edit"))
        page.decide(CTRL_ENTER, on=1)
        page.type("k")
        page.until(lambda: page.place == "Row 1 of 3")
        assert page.text("#passage-text") == rows[0].passage + " Unsaved text"
        assert not page.visible("#draft")
        # An accepted edit stays; an edit that is edited back is an acceptance.
        page.decide("a", on=1)
        page.type("k", "e")
        page.until(lambda: page.visible("#passage-edit"))
        page.type("\ue003" * len(" Unsaved text"))
        page.decide(CTRL_ENTER, on=1)
        page.type("e")
        page.until(lambda: page.visible("#passage-edit"))
        page.type("gone")
        page.driver.find_element("id", "discard").click()
        page.until(lambda: page.visible("#deciding"))
        assert not page.visible("#draft")
    assert [action for _, _, action in actions(log)] == ["edit", "accept"]
    entries, _ = read_log(log)
    assert entries[0].edits == {"passage": rows[0].passage + " Unsaved text"}


def test_query_trace_and_label_can_be_edited_and_line_ends_are_no_edit(page: Page, log: Path):
    rows = [make_row(passage="one\r\ntwo")]
    with served(rows, log) as server:
        page.open(server).type("e")
        page.until(lambda: page.visible("#passage-edit"))
        page.js("document.getElementById('query-edit').select()")
        page.type("Why?")
        page.js("document.getElementById('trace-edit').select()")
        page.type("Because.")
        page.driver.find_element("css selector", "#label-edit input[value=false]").click()
        page.type(CTRL_ENTER)
        page.until(lambda: page.text("#decision") == "edited and accepted")
        assert page.text("#verdict") == "not relevant"
        assert page.text("#votes").endswith("Label before your editrelevant")
    (entry,) = read_log(log)[0]
    assert entry.edits == {"query": "Why?", "trace": "Because.", "relevant": False}


def test_two_reviewers_in_two_browsers_do_not_overwrite_each_other(
    page: Page, log: Path, tmp_path_factory: pytest.TempPathFactory
):
    rows = make_rows(4)
    with served(rows, log) as server, chromium(tmp_path_factory.mktemp("bob")) as second:
        bob = Page(second).open(server, "bob")
        page.open(server, "ann")
        page.decide("a", on=1)
        assert bob.text("#count") == "0 of 4 decided", "what others say is not shown"
        bob.type("r")
        bob.until(lambda: bob.visible("#reject-dialog"))
        bob.decide("7", on=1)
        bob.decide("a", on=2)
        page.decide("a", on=2)
        page.type("g")
        page.until(lambda: page.visible("#compare-dialog"))
        cells = page.js("[...document.querySelectorAll('#comparison td')].map(cell => cell.textContent)")
        # Two rows, one alike: p_o = 1/2, p_e = (2 * 1 + 0 * 1) / 4 = 1/2, kappa = 0.
        assert cells == ["2", "50.0 %", "0.00", "1", "0", "1"]
        assert "bob: rejected (The passage repeats the query" in page.text("#comparison")
        page.driver.find_element("css selector", "#comparison button.link").click()
        page.until(lambda: page.place == "Row 1 of 4")
    assert sorted(actions(log)) == [
        ("ann", rows[0].id, "accept"),
        ("ann", rows[1].id, "accept"),
        ("bob", rows[0].id, "reject"),
        ("bob", rows[1].id, "accept"),
    ]


def test_filters_choose_rows_and_stay_after_a_reload(page: Page, log: Path):
    rows = make_rows(20)
    with served(rows, log) as server:
        page.open(server)
        page.decide("a", on=1)
        page.js("document.getElementById('intent').focus()")
        page.type("negative:f")
        page.until(lambda: "2 match" in page.text("#count"))
        page.until(lambda: page.visible("#false-claim"))
        page.type(ESCAPE)
        assert page.place == "Row 9 of 20"
        page.decide("a", on=9, then=19)
        page.type("j")
        page.until(lambda: page.text("#status") == "This is the last row here.")
        page.reload()
        assert page.place == "Row 19 of 20"
        assert "2 match" in page.text("#count")
        page.js("document.getElementById('state').focus()")
        page.type("accepted")
        page.until(lambda: page.place == "Row 9 of 20")
        from selenium.webdriver.support.ui import Select

        Select(page.driver.find_element("id", "state")).select_by_visible_text("rejected")
        page.until(lambda: page.visible("#nothing"))


def test_rows_from_elsewhere_have_no_purpose_and_no_votes(page: Page, log: Path):
    foreign = make_row(
        id="foreign", intent="", kind="", domain="", difficulty="", votes=(), second=(), meta={}
    )
    with served([make_row(), foreign], log) as server:
        page.open(server).type("j")
        page.until(lambda: page.place == "Row 2 of 2")
        assert page.text("#targets") == ""
        assert page.text("#guide") == "Passagenot written for a purpose; judge the verdict and the trace"
        assert page.text("#votes") == "Judgenot askedSecond judgenot asked"
        page.type("k")
        page.until(lambda: page.place == "Row 1 of 2")
        page.js("document.getElementById('intent').focus()")
        page.type("none")
        page.until(lambda: page.place == "Row 2 of 2")


def test_the_querys_words_are_marked_or_not(page: Page, log: Path):
    row = make_row(
        query="Why do starters of MOUNTAIN bakers die?", passage="A starter's mountain; the mountainous do."
    )
    marked = "[...document.querySelectorAll('mark')].map(mark => mark.textContent)"
    with served([row], log) as server:
        page.open(server)
        assert page.js(marked) == ["starter's", "mountain"]
        page.type("w")
        page.until(lambda: page.js(marked) == [])
        assert page.text("#passage-text") == row.passage
        page.reload()
        assert page.js(marked) == []
