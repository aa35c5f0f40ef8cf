"""The report of a benchmark as large as they come, in real headless Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import needs_chromium
from evaluations import large
from report_page import IDS, QUERY, ROWS, opened
from review_page import Page

from limrank_evals.reporting import write_reports

pytestmark = [pytest.mark.browser, needs_chromium]


def test_the_largest_report_is_listed_and_drilled_into(page: Page, tmp_path: Path):
    """1,384 queries with 100 documents and traces each, as BRIGHT has them."""
    text = "Reasoning about a passage that is neither long nor short. " * 25
    path = write_reports(tmp_path, [large(1384, 100, text)])[0]
    opened(page, path)
    assert page.text("#count") == "1,384 queries"
    assert len(page.js(ROWS)) == 200
    page.driver.execute_script("document.getElementById('more').click()")
    assert len(page.js(ROWS)) == 400
    opened(page, path, "#query=q1383&order=given")
    assert page.js(QUERY) == "q1383"
    assert len(page.js(IDS)) == 100
    assert page.js("document.querySelector('[aria-current]').textContent.includes('q1383')")
    assert "are cut after" in page.text("footer")
