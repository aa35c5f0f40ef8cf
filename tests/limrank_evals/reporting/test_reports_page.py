"""What docs/reports.md prints: the snippet runs, every key of report.json and of the address is told."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from evaluations import bright

from limrank_evals.reporting import SCHEMA, write_reports
from limrank_evals.reporting.payload import BUDGET, LISTED
from limrank_evals.reporting.text_policy import LEVELS, TOP

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reports.md").read_text("utf-8")


def test_the_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    # Without a model: it is the calls that are tried.
    exec(compile(code.replace('"mini"', '"prior"'), "docs/reports.md", "exec"), {})
    assert len(list(Path("eval-samples").iterdir())) == 4


def test_every_key_of_the_json_is_told(tmp_path: Path):
    write_reports(tmp_path, [bright("biology"), bright("pony")])
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    split = report["splits"][0]
    keys = {*report, *split, *split["queries"][0], *split["queries"][1]["relevant"][0], *report["means"][0]}
    assert {key for key in keys if f"`{key}`" not in PAGE} == set()
    assert f"`{SCHEMA}`" in PAGE


def test_the_page_says_what_the_script_has():
    folder = files("limrank_evals.reporting").joinpath("page")
    script = folder.joinpath("list.js").read_text("utf-8")
    outcomes = re.findall(r"^  (\w+): \(row\) =>", script.split("const OUTCOMES")[1].split("};")[0], re.M)
    orders = re.findall(r"^  (\w+): \(", script.split("const KEYS")[1].split("};")[0], re.M)
    names = re.search(r"FILTERS = (\[.*\])", script)
    assert names is not None
    filters = json.loads(names[1])
    assert len(outcomes) == 5
    assert len(orders) == 4
    for name in (*outcomes, *orders, *filters, "split"):
        assert f"`{name}" in PAGE
    template = folder.joinpath("evaluation.html.jinja").read_text("utf-8")
    assert set(outcomes) == set(re.findall(r'value="(lost|won|tied|failed|missed)"', template))
    assert f"first {LISTED} documents" in PAGE
    assert f"first {TOP} before" in PAGE
    assert f"{LEVELS[0].text:,} characters a passage, {LEVELS[0].trace:,} a trace" in PAGE
    assert 40_000_000 <= BUDGET < 45_000_000
