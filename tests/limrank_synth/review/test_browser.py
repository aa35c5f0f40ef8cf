"""The page in real headless Chromium, by keyboard, as a reviewer uses it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsers import chromium, needs_chromium
from synth_rows import make_row, make_rows

from limrank_synth.guidelines import load_guidelines
from limrank_synth.records import Row
from limrank_synth.review.log import Log, read_log
from limrank_synth.review.server import ReviewServer
from limrank_synth.review.session import Session

pytestmark = [pytest.mark.browser, needs_chromium]

CTRL_ENTER = "\ue009\ue007"
TAB, ENTER, ESCAPE, LEFT, RIGHT, SPACE = "\ue004", "\ue007", "\ue00c", "\ue012", "\ue014", "\ue00d"


# While something is on its way to the server, the page takes no other key.
_IDLE = "document.body.ariaBusy === 'false'"


@contextmanager
def served(rows: list[Row], log: Path, port: int = 0, **options: Any) -> Iterator[ReviewServer]:
    with ReviewServer(Session(rows, Log(log), load_guidelines(), **options), port=port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Page:
    """What a person sees and types."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, server: ReviewServer, name: str = "ann") -> Page:
        self.driver.get(server.url)
        self.until(lambda: self.visible("#who-dialog"))
        self.type(name, ENTER)
        self.until(lambda: self.text("#who") == f"Reviewer: {name}" and self.js(_IDLE))
        return self

    def type(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        from selenium.webdriver import ActionChains

        for key in keys:
            self.until(lambda: self.js(_IDLE))
            chain = ActionChains(self.driver, duration=0)
            if key == CTRL_ENTER:
                chain.key_down(key[0]).send_keys(key[1]).key_up(key[0])
            else:
                chain.send_keys(key)
            chain.perform()

    def until(self, met: Callable[[], Any]) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 10, poll_frequency=0.02).until(lambda _: met())

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {code}", *arguments)

    def text(self, selector: str) -> str:
        return self.js("document.querySelector(arguments[0]).textContent", selector)

    def visible(self, selector: str) -> bool:
        return self.js(
            "[...document.querySelectorAll(arguments[0])].some(found => found.checkVisibility())", selector
        )

    @property
    def place(self) -> str:
        return self.text("#place")

    def decide(self, *keys: str, on: int, then: int | None = None) -> None:
        """Keys that decide on one row, and wait for the next to be shown."""
        assert self.place.startswith(f"Row {on} of")
        self.type(*keys)
        self.until(lambda: self.place.startswith(f"Row {on + 1 if then is None else then} of"))

    def reload(self) -> None:
        self.driver.refresh()
        self.until(lambda: self.text("#who").startswith("Reviewer: ") and self.js(_IDLE))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(driver: Any) -> Iterator[Page]:
    driver.get_log("browser")
    yield Page(driver)
    assert errors(driver) == []
    # A tab's storage belongs to an address, and ports are used again.
    driver.execute_script("sessionStorage.clear(); localStorage.clear()")


def errors(driver: Any) -> list[str]:
    """Violated policies and exceptions in the page since the last call; not the requests that failed."""
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in severe if "Failed to load resource" not in message]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "review.jsonl"


def actions(log: Path) -> list[tuple[str, str, str]]:
    entries, problems = read_log(log)
    assert problems == []
    return [(entry.reviewer, entry.row, entry.action) for entry in entries]


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


HOSTILE = (
    "<script>window.taken = 1</script><img src=x onerror='window.taken = 1'></div></main>{{ 7 * 7 }}"
    "</think> true & &amp; <b>bold</b> javascript:alert(1)"
)


def test_untrusted_text_stays_text(page: Page, log: Path):
    row = make_row(
        id=HOSTILE,
        query=HOSTILE,
        passage=f"{HOSTILE} {HOSTILE}",
        trace=HOSTILE.replace("</think>", ""),
        intent=HOSTILE,
        domain=HOSTILE,
        difficulty=HOSTILE,
        meta=dict.fromkeys(("persona", "seed", "thought", "description", "judge"), HOSTILE),
    )
    with served([row], log) as server:
        name = "<img src=x onerror=alert(1)>"
        page.open(server, name)
        assert page.text("#query-text") == HOSTILE
        assert page.text("#passage-text") == f"{HOSTILE} {HOSTILE}", "also with words marked"
        assert page.text("#persona") == HOSTILE
        page.type("r")
        page.until(lambda: page.visible("#reject-dialog"))
        page.js("document.getElementById('note').focus()")
        page.type("<script>window.taken = 1</script>", ENTER)
        page.until(lambda: page.text("#decision").startswith("rejected"))
        page.type("w", "w", "g")
        page.until(lambda: page.visible("#compare-dialog"))
        page.type(ESCAPE)
        page.reload()
        assert page.text("#decision") == "rejected: <script>window.taken = 1</script>"
        assert page.js("window.taken") is None
        assert page.js("document.querySelectorAll('img, b, main script').length") == 0
        assert page.js("document.querySelectorAll('script').length") == 1
        assert errors(page.driver) == [], "no script or request was even tried"
        with pytest.raises(Exception, match="TrustedHTML"):
            page.js("document.body.innerHTML = '<b>no</b>'")
        assert len(errors(page.driver)) == 1
    assert actions(log) == [(name, HOSTILE, "reject")]


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
    session = Session(rows, Log(log), load_guidelines())
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
            page.until(lambda: page.place == "Row 2 of 9" and page.js(_IDLE))
        page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", key | {"type": "keyUp"})
        page.type("j")
        page.until(lambda: page.place == "Row 3 of 9")
    assert len(actions(log)) == 1


def test_a_second_key_while_the_first_is_on_its_way_meets_no_row_unseen(page: Page, log: Path):
    with served(make_rows(3), log) as server:
        page.open(server)
        press = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', bubbles: true}))"
        page.driver.execute_script(f"{press}; {press}")
        page.until(lambda: page.place == "Row 2 of 3" and page.js(_IDLE))
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


_CONTROLS = """[...(document.querySelector('dialog[open]') ?? document).querySelectorAll(
    'button, select, input, textarea, summary, a[href], [tabindex="0"]')]
    .filter(control => control.checkVisibility() && !control.disabled)"""


@pytest.mark.parametrize(
    "keys", [(), ("e",), ("r",), ("?",), ("g",)], ids=["row", "edit", "reject", "help", "agree"]
)
def test_every_control_is_reached_by_tab_has_a_name_and_shows_its_focus(
    page: Page, log: Path, keys: tuple[str, ...]
):
    with served(make_rows(3), log) as server:
        page.open(server)
        page.type(*keys)
        page.until(lambda: not keys or page.visible("#editing, dialog[open]"))
        controls = page.driver.execute_script(f"return {_CONTROLS}")
        names = [control.accessible_name for control in controls]
        assert all(names), names
        assert len(controls) > 0
        seen = set()
        for _ in range(len(controls) + 8):
            page.type(TAB)
            focused = page.driver.switch_to.active_element
            if focused in controls:
                seen.add(focused.id)
                outline = focused.value_of_css_property("outline-style")
                width = focused.value_of_css_property("outline-width")
                assert (outline, width) == ("solid", "3px"), focused.accessible_name
        # A group of radio buttons is one stop: its arrows choose.
        missed = [control for control in controls if control.id not in seen]
        assert [control.accessible_name.strip() for control in missed] in ([], ["not relevant"])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1440])
def test_it_fits_and_can_be_read(tmp_path_factory: pytest.TempPathFactory, log: Path, width: int, dark: bool):
    rows = [make_row(8, passage="A" * 300 + " of the starter", id="x" * 200), make_row(1)]
    with (
        served(rows, log) as server,
        chromium(tmp_path_factory.mktemp("profile"), width=width, height=800, dark=dark) as driver,
    ):
        page = Page(driver).open(server, "a reviewer with rather a long name to show")
        light = page.js("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"
        assert light is not dark
        for keys in ((), ("e",), (ESCAPE, "r"), ("1",), (LEFT,), ("g",), (ESCAPE, "?")):
            page.type(*keys)
            page.until(lambda: not page.js("document.getAnimations().length"))
            assert page.js("document.documentElement.scrollWidth") <= width, keys
            poor = page.driver.execute_script(_POOR_CONTRAST)
            assert poor == [], keys


# WCAG 2's ratio of every visible text to the opaque ground under it; 4.5 is what AA asks.
_POOR_CONTRAST = """
const parse = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const poor = [];
const root = document.querySelector('dialog[open]') ?? document.body;
for (const node of root.querySelectorAll('*')) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  if (!own || !node.checkVisibility() || node.matches('option, dialog:not([open]) *')) continue;
  const under = ground(node);
  const opacity = Number(getComputedStyle(node).opacity);
  const color = parse(getComputedStyle(node).color).map((c, i) => c * opacity + under[i] * (1 - opacity));
  const [low, high] = [light(color), light(under)].sort((a, b) => a - b);
  const ratio = (high + .05) / (low + .05);
  if (ratio < 4.5) poor.push(`${node.tagName}#${node.id}.${node.className} ${ratio.toFixed(2)}`);
}
return poor;
"""
