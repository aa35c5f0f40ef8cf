"""The page in real headless Chromium: it complains of nothing, and a link opens its question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsers import POOR_CONTRAST, chromium, needs_chromium
from quiz_reports import made

from limrank_evals.questions.questions_report import questions_page

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.mark.parametrize("dark", [False, True])
def test_the_page(tmp_path: Path, dark: bool):
    (tmp_path / "report.html").write_text(questions_page(made()), "utf-8")
    with chromium(tmp_path / "profile", dark=dark) as driver:
        js: Any = driver.execute_script
        driver.get((tmp_path / "report.html").as_uri())
        opened = "return [...document.querySelectorAll('.question[open] summary')].map((s) => s.innerText)"
        assert js(opened) == []
        js("document.querySelector('details.fold').open = true")
        js("document.querySelector('.ids a').click()")
        (title,) = js(opened)
        assert "q1" in title
        assert js("return document.querySelector('.question[open] summary').getBoundingClientRect().top > 40")
        shown = js("return document.querySelector('.question[open] .query').innerText")
        assert "</pre><script>alert(1)</script> & {{ 7 * 7 }}" in shown
        js("for (const one of document.querySelectorAll('details')) one.open = true")
        assert js(POOR_CONTRAST) == []
        assert js("return document.documentElement.scrollWidth <= innerWidth")
        assert js("return performance.getEntriesByType('resource').length") == 0
        # The policy forbids nothing that the page does.
        assert driver.get_log("browser") == []
