"""Reports of evaluations: one HTML file to look at, JSON for machines, tables for papers.

```python
from limrank_evals.reporting import write_reports

write_reports("eval-bright", evaluated)  # a list of limrank_evals.evaluation.split_evaluation.SplitEvaluation
```
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.reporting.averages import averages
from limrank_evals.reporting.evaluation_page import report_html
from limrank_evals.reporting.headline import headlines
from limrank_evals.reporting.json_report import SCHEMA, report_json
from limrank_evals.reporting.query_outcomes import query_outcomes
from limrank_evals.reporting.text_policy import clean
from limrank_plugins.errors import InputError
from limrank_plugins.outputs import write_whole
from limrank_plugins.segments import clean_text

__all__ = ["SCHEMA", "write_reports"]


def write_reports(
    folder: str | os.PathLike[str], evaluated: Sequence[SplitEvaluation], *, show_gated: bool = False
) -> list[Path]:
    """Write report.html, report.json, table.md and table.tex, each all or nothing.

    Args:
        folder: where to; it is made if it is not there.
        evaluated: the splits, of one benchmark or of several, in the order they are to be shown in.
        show_gated: write the texts of gated sets, which are hashes otherwise: never publish such a report.

    Returns:
        The files' paths.

    Raises:
        InputError: no splits, one without results, or one that is there twice.
    """
    _check(evaluated)
    queries = [query_outcomes(split) for split in evaluated]
    means = averages(evaluated)
    tables = headlines(evaluated, means)
    texts = {
        "report.html": report_html(evaluated, queries, tables, show_gated=show_gated),
        "report.json": report_json(evaluated, queries, means, show_gated=show_gated),
        "table.md": clean("\n".join(headline.table.markdown() for headline in tables)),
        "table.tex": clean("\n".join(headline.table.latex() for headline in tables)),
    }
    paths = [Path(folder) / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_whole(path, clean_text(text).encode("utf-8"))
    return paths


def _check(evaluated: Sequence[SplitEvaluation]) -> None:
    if not evaluated:
        raise InputError("a report needs at least one split that was evaluated")
    seen = set()
    for split in evaluated:
        name = f"{split.benchmark.name} {split.benchmark.split}".strip()
        if not split.results or not split.measures:
            raise InputError(f"{name} has no results to report")
        if name in seen:
            raise InputError(f"{name} is there twice: report its settings apart")
        seen.add(name)
