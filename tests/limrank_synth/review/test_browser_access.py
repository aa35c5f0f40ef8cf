"""The page in real headless Chromium: hostile text stays text, everything is reached, read and named."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import POOR_CONTRAST, chromium, needs_chromium
from review_page import ENTER, ESCAPE, LEFT, TAB, Page, actions, errors, served
from synth_rows import make_row, make_rows

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "review.jsonl"


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
            poor = page.driver.execute_script(POOR_CONTRAST)
            assert poor == [], keys
