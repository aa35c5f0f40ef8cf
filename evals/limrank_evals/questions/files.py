"""The files of an evaluation by questions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limrank_evals.questions.evaluated import QuestionsEvaluated
from limrank_evals.questions.page import page
from limrank_evals.questions.report import report
from limrank_evals.questions.rows import latex, markdown
from limrank_plugins.files import write_whole
from limrank_plugins.segments import clean_text


def write_reports(folder: Path, found: QuestionsEvaluated) -> None:
    """Write answers, results, report (JSON, HTML) and tables (Markdown, LaTeX), each all or nothing."""
    rows = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in found.answers)
    results = [result.as_json() for result in found.results]
    for name, text in (
        ("answers.jsonl", rows),
        ("result.json", _json(results)),
        ("report.json", _json(report(found))),
        ("table.md", markdown(found)),
        ("table.tex", latex(found)),
        ("report.html", page(found)),
    ):
        write_whole(folder / name, clean_text(text).encode("utf-8"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
