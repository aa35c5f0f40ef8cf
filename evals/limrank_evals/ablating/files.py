"""The files of an ablation's report."""

from __future__ import annotations

import json
from pathlib import Path

from limrank_evals.ablating.plots import draw_arms
from limrank_evals.ablating.reporting import Report
from limrank_plugins.files import write_whole

REPORT, MARKDOWN, LATEX = "report.json", "table.md", "table.tex"


def write_report(folder: Path, report: Report) -> None:
    """Write `report.json`, `table.md`, `table.tex` and the picture; nothing where no arm is finished.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if not report.arms:
        return
    found = json.dumps(report.as_json(), indent=2, allow_nan=False) + "\n"
    write_whole(folder / REPORT, found.encode("ascii"))
    write_whole(folder / MARKDOWN, report.markdown().encode("utf-8"))
    write_whole(folder / LATEX, report.latex().encode("utf-8"))
    draw_arms(folder, report)
