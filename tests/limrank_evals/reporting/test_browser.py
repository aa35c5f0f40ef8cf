"""The report in real headless Chromium: quiet, self-contained, and usable by keyboard and by link."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import POOR_CONTRAST, chromium, needs_chromium
from evaluations import bright, hostile, sample_evaluation
from report_page import CHANGES, IDS, QUERY, ROWS, opened, select, served_folder
from review_page import ENTER, ESCAPE, TAB, Page, errors

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.reporting import write_reports

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    found = [sample_evaluation("daily", warnings=("Read this first.",)), sample_evaluation("expert")]
    return write_reports(folder, found)[0]


def test_it_opens_without_a_request_or_an_error(page: Page, report: Path):
    with served_folder(report.parent) as (address, requested):
        page.driver.get(f"{address}/{report.name}")
        page.until(lambda: page.js("document.body.ariaBusy === 'false'"))
        assert page.js("scrollY") == 0, "it begins with the results, whatever the list does"
        page.type("j", "t", "?", ESCAPE)
        assert requested == [f"/{report.name}"]
        assert page.js("performance.getEntriesByType('resource').length") == 0
    assert page.text("#title") == "samples"
    assert "Read this first." in page.text(".warnings")
    with pytest.raises(Exception, match="TrustedHTML"):
        page.js("document.body.innerHTML = '<b>no</b>'")
    assert len(errors(page.driver)) == 1, "that was the policy"


def test_the_list_filters_sorts_and_finds(page: Page, report: Path):
    opened(page, report)
    assert page.text("#count") == "28 queries"
    changes = page.js(CHANGES)
    assert changes == sorted(changes), "the worst regression comes first"
    assert page.js(QUERY) in page.js(ROWS)[0], "and is shown"
    select(page, "order", "best gain first")
    changes = page.js(CHANGES)
    assert changes == sorted(changes, reverse=True)
    select(page, "outcome", "lost")
    lost = len(page.js(ROWS))
    assert 0 < lost < 28
    assert all(change < 0 for change in page.js(CHANGES))
    assert page.text("#count") == f"{lost} of 28 queries"
    assert page.js("document.querySelector('[aria-current]') !== null"), "the first of them is chosen"
    select(page, "outcome", "with failures")
    assert all("failure" in row for row in page.js(ROWS))
    assert page.visible(".failure")
    assert "no verdict within 8,192 tokens" in page.text(".failure")
    select(page, "outcome", "all")
    select(page, "task", "expert")
    assert all("expert · " in row for row in page.js(ROWS))
    select(page, "task", "all")
    select(page, "measure", "R@5")
    page.type(ESCAPE, "/", "TOMATOES balcony")
    page.until(lambda: len(page.js(ROWS)) == 1)
    assert page.js(QUERY) == "q03"
    page.type(" nothing like it")
    page.until(lambda: page.text("#count") == "0 of 28 queries")


def test_the_address_says_what_is_seen(page: Page, report: Path):
    opened(page, report)
    select(page, "outcome", "won")
    select(page, "measure", "R@5")
    page.type("j", "j")
    seen = page.js(QUERY), page.js(ROWS)
    fragment = page.js("location.hash")
    assert "query=" in fragment
    opened(page, report, fragment)
    assert (page.js(QUERY), page.js(ROWS)) == seen
    assert page.js("document.querySelector('#queries').getBoundingClientRect().top") < 100
    opened(page, report, "#query=q04")
    assert page.js(QUERY) == "q04"
    assert page.js("document.querySelector('[aria-current]').textContent.includes('q04')")
    page.driver.execute_script("location.hash = '#query=q07'")
    page.until(lambda: page.js(QUERY) == "q07")
    page.driver.back()
    page.until(lambda: page.js(QUERY) == "q04")
    opened(page, report, "#query=absent&task=daily&outcome=nonsense")
    assert "There is no query absent" in page.text("#detail")
    assert len(page.js(ROWS)) == 14


def test_keys_go_through_the_queries(page: Page, report: Path):
    opened(page, report)
    rows = page.js(ROWS)
    page.type("j")
    page.until(lambda: page.js(QUERY) in rows[1])
    page.type("j", "k", "k", "k")
    page.until(lambda: page.js(QUERY) in rows[0])
    # A link of the list by Tab and Enter; typing in a field is typing.
    page.driver.execute_script("document.querySelectorAll('#list a')[3].focus()")
    page.type(TAB, ENTER)
    page.until(lambda: page.js(QUERY) in rows[4])
    page.type("/", "jk")
    assert page.js("document.getElementById('find').value") == "jk"
    page.js("document.getElementById('find').select()")
    page.type("\ue003", ESCAPE, "t")
    page.until(lambda: page.js("document.querySelectorAll('#documents details:not([open])').length") == 0)
    page.until(lambda: page.text("#documents").count("So the answer is clear.") > 20)
    page.type("t")
    page.until(lambda: page.js("document.querySelectorAll('#documents details[open]').length") == 0)
    every = len(page.js(IDS))
    page.type("r")
    page.until(lambda: 0 < len(page.js(IDS)) < every)
    assert page.js("document.querySelectorAll('#documents .unjudged').length") == 0
    page.type("r", "?")
    page.until(lambda: page.visible("#keys"))
    page.type(ESCAPE)
    page.until(lambda: not page.visible("#keys"))


def test_a_query_is_shown_as_it_was_ranked(page: Page, report: Path):
    one = sample_evaluation("daily")
    opened(page, report, "#query=q05")
    after, before = one.last.ranked["q05"], one.first.ranked["q05"]
    assert page.js(IDS) == after
    assert page.js("[...document.querySelectorAll('#documents .rank')].map(r => Number(r.textContent))") == [
        *range(1, len(after) + 1)
    ]
    select(page, "by", "first stage")
    assert page.js(IDS) == before
    moved = page.js("[...document.querySelectorAll('#documents .moved .sr')].map(m => m.textContent)")
    by = [rank - after.index(document) - 1 for rank, document in enumerate(before, start=1)]
    expected = [
        f"{'up' if b > 0 else 'down'} {abs(b)} from {n}" if b else "stayed" for n, b in enumerate(by, 1)
    ]
    assert moved == expected
    grades = one.benchmark.qrels["q05"]
    badges = page.js("[...document.querySelectorAll('#documents .badge')].map(b => b.textContent)")
    for document, badge in zip(before, badges, strict=True):
        grade = grades.get(document)
        told = "not judged" if grade is None else f"{'relevant' if grade else 'not relevant'} · {grade}"
        assert badge == told
    values = page.js(
        "[...document.querySelectorAll('.values td')].map(td => td.textContent.replace('−', '-'))"
    )
    for place, measure in enumerate(one.measures):
        first, second = (run.measured.per_query[measure]["q05"] * 100 for run in (one.first, one.last))
        assert [float(v.replace("±", "")) for v in values[3 * place : 3 * place + 3]] == pytest.approx(
            [first, second, second - first], abs=0.051
        )
    lines = page.js("document.querySelectorAll('.movement .relevant').length")
    assert lines == sum(grades.get(document, 0) > 0 for document in before)


def test_a_mark_of_a_plot_opens_its_query(page: Page, report: Path):
    opened(page, report)
    bars = page.driver.find_elements("css selector", "#split-1 .plots figure:first-child [data-query]")
    assert len(bars) == 14
    told = page.js("arguments[0].querySelector('title').textContent", bars[2])
    page.driver.execute_script(
        "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", bars[2]
    )
    page.until(lambda: page.js(QUERY) == told.split(": ")[0])
    assert "split=expert" in page.js("location.hash")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1440])
def test_it_fits_and_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, report: Path, width: int, dark: bool
):
    with chromium(tmp_path_factory.mktemp("profile"), width=width, height=800, dark=dark) as started:
        page = opened(Page(started), report, "#query=q06")
        light = page.js("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"
        assert light is not dark
        page.driver.execute_script("for (const d of document.querySelectorAll('main details')) d.open = true")
        assert page.js("document.documentElement.scrollWidth") <= width
        assert page.driver.execute_script(POOR_CONTRAST) == []
        assert errors(started) == []


def test_every_control_has_a_name_and_shows_its_focus(page: Page, report: Path):
    opened(page, report, "#query=q06")
    controls = page.driver.find_elements(
        "css selector", "button, select, input, summary, a[href], [tabindex='0']"
    )
    controls = [control for control in controls if page.js("arguments[0].checkVisibility()", control)]
    assert len(controls) > 40
    page.type(TAB)  # from here on the focus is moved by keyboard, and shown
    for control in controls[::3]:
        # What is far out of sight is not laid out, and has no computed name.
        page.driver.execute_script("arguments[0].scrollIntoView()", control)
        assert control.accessible_name, control.get_attribute("outerHTML")
        page.driver.execute_script("arguments[0].focus()", control)
        outline = control.value_of_css_property("outline-style")
        assert outline == "solid", control.get_attribute("outerHTML")


def test_it_prints(page: Page, report: Path):
    opened(page, report, "#query=q06")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not page.visible("header")
        assert not page.visible("#list")
        assert page.visible("#documents .text")
        assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_splits_may_share_their_queries_ids(page: Page, tmp_path: Path):
    path = write_reports(tmp_path, [bright("biology"), bright("pony")])[0]
    for split in ("pony", "biology"):
        opened(page, path, f"#query=1&split={split}")
        assert page.text("#detail .head .badge") == split
        assert page.text("#detail .query") == f"{split} 1?"
        chosen = page.js("document.querySelectorAll('[aria-current]').length")
        assert chosen == 1
    opened(page, path, "#query=1")
    assert page.text("#detail .head .badge") == "biology", "the first that has it"


def test_hostile_texts_run_nothing(page: Page, tmp_path: Path):
    opened(page, write_reports(tmp_path, [hostile()])[0])
    page.type("t", "?", ESCAPE)
    assert page.js("window.taken") is None
    assert page.js("document.querySelectorAll('img, main script, [onerror]').length") == 0
    assert "</script><script>" in page.text("#detail .query")
    # A trace is put in when its fold has opened, which the browser tells a moment later.
    trace = "document.querySelector('#documents .trace .text')?.textContent ?? ''"
    page.until(lambda: "</script><script>" in page.js(trace))
    assert "{{ 7 * 7 }}" in page.text("#title")
    # What turns the direction of writing ends with its element.
    turned = page.js("[...document.querySelectorAll('#detail p.query, #documents .text')]")
    assert all(node.value_of_css_property("unicode-bidi") == "isolate" for node in turned)
    page.driver.execute_script("document.querySelectorAll('#list a')[1].click()")
    page.until(lambda: page.js(QUERY) == "q1")


def test_without_a_reranker_there_is_one_column(page: Page, tmp_path: Path):
    full = sample_evaluation("daily")
    one = SplitEvaluation(full.benchmark, full.measures, full.first, None, (), {}, full.results[:1])
    opened(page, write_reports(tmp_path, [one])[0])
    changes = page.js(CHANGES)
    assert changes == sorted(changes), "the lowest first"
    assert page.js("[...document.getElementById('outcome').options].map(o => o.text)") == [
        "all",
        "nothing relevant found",
    ]
    assert page.js("document.querySelectorAll('.values thead th').length") == 2
    assert page.js("document.querySelectorAll('#documents .moved').length") == 0
