"""The page in real headless Chromium when things go wrong: no server, no answer, keys too many."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from browsers import needs_chromium
from review_page import ENTER, ESCAPE, IDLE, Page, actions, served
from synth_rows import make_rows

from limrank_synth.guidelines import load_guidelines
from limrank_synth.review.decision_log import DecisionLog
from limrank_synth.review.review_session import ReviewSession
from limrank_synth.review.server import ReviewServer

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "review.jsonl"


def test_a_server_that_is_gone_is_told_and_nothing_seems_decided(page: Page, log: Path):
    rows = make_rows(2)
    with served(rows, log) as server:
        page.open(server)
        port, token = server.server_port, server.token
    page.type("a")
    page.until(lambda: page.visible("#notices .error"))
    assert "may not be recorded: reload" in page.text("#notices")
    page.type("j")
    page.until(lambda: page.text("#notices").endswith("running?"))
    assert (page.place, page.text("#decision"), page.text("#count")) == (
        "Row 1 of 2",
        "open",
        "0 of 2 decided",
    )
    session = ReviewSession(rows, DecisionLog(log), load_guidelines())
    with ReviewServer(session, port=port, token=token) as again:
        thread = threading.Thread(target=again.serve_forever)
        thread.start()
        page.decide("a", on=1)
        assert not page.visible("#notices .error")
        again.shutdown()
        thread.join()
    assert [action for _, _, action in actions(log)] == ["accept"]


def test_a_key_that_is_held_down_decides_once(page: Page, log: Path):
    with served(make_rows(9), log) as server:
        page.open(server)
        key = {"type": "keyDown", "key": "a", "text": "a", "code": "KeyA"}
        for number in range(6):
            page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", key | {"autoRepeat": number > 0})
            page.until(lambda: page.place == "Row 2 of 9" and page.js(IDLE))
        page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", key | {"type": "keyUp"})
        page.type("j")
        page.until(lambda: page.place == "Row 3 of 9")
    assert len(actions(log)) == 1


def test_a_second_key_while_the_first_is_on_its_way_meets_no_row_unseen(page: Page, log: Path):
    with served(make_rows(3), log) as server:
        page.open(server)
        press = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', bubbles: true}))"
        page.driver.execute_script(f"{press}; {press}")
        page.until(lambda: page.place == "Row 2 of 3" and page.js(IDLE))
        page.decide("a", on=2)
    assert len(actions(log)) == 2


def test_a_decision_whose_answer_was_lost_is_sent_again_and_counts_once(page: Page, log: Path):
    with served(make_rows(3), log) as server:
        page.open(server)
        page.driver.execute_script(
            "const real = window.fetch; window.sent = [];"
            "window.fetch = async (address, options) => {"
            "  const answer = await real(address, options);"
            "  if (options?.method === 'POST' && window.sent.push(options.body) === 1) throw new TypeError();"
            "  return answer; }"
        )
        page.decide("a", on=1)
        sent = page.js("window.sent")
        assert len(sent) == 2
        assert sent[0] == sent[1]
        assert not page.visible("#notices .error")
    assert len(actions(log)) == 1


def test_nobody_reviews_without_a_name(page: Page, log: Path):
    with served(make_rows(2), log) as server:
        page.driver.get(server.url)
        page.until(lambda: page.visible("#who-dialog"))
        for _ in range(3):
            page.type(ESCAPE)
            page.until(lambda: page.visible("#who-dialog"))
        page.type(ENTER)
        page.until(lambda: "visible characters" in page.text("#name-problem"))
        page.type("  ann  ", ENTER)
        page.until(lambda: page.text("#who") == "Reviewer: ann")
