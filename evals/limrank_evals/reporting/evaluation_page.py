"""report.html of an evaluation: one file with its styles, script, plots and data."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.pmrr import CHANGED
from limrank_evals.reporting import facts, plots
from limrank_evals.reporting.frame import render_page
from limrank_evals.reporting.headline import Headline
from limrank_evals.reporting.payload import LISTED, named, page_payload
from limrank_evals.reporting.query_outcomes import QueryOutcome
from limrank_evals.reporting.text_policy import clean
from limrank_plugins.wording import number_of

_SCRIPTS = ("dom.js", "movement.js", "documents.js", "detail.js", "list.js")


def report_html(
    evaluated: Sequence[SplitEvaluation],
    queries: Sequence[Sequence[QueryOutcome]],
    tables: Sequence[Headline],
    *,
    show_gated: bool = False,
) -> str:
    """The page.

    Args:
        evaluated: the splits.
        queries: of each of them, see `limrank_evals.reporting.query_outcomes`.
        tables: to open with, see `limrank_evals.reporting.headline`.
        show_gated: show the texts of gated sets instead of hashes.
    """
    gated = [named(split) for split in evaluated if split.gated]
    first, second = facts.systems(evaluated)
    same, differing = facts.settings(evaluated)
    data = page_payload(evaluated, queries, show_gated=show_gated)
    benchmarks = list(dict.fromkeys(split.benchmark.name for split in evaluated))
    counts = [number_of(sum(map(len, queries)), "query")]
    counts += [f"{len(evaluated)} splits"] if len(evaluated) > 1 else []
    return render_page(
        "evaluation.html.jinja",
        scripts=_SCRIPTS,
        title=", ".join(benchmarks) + (f" {evaluated[0].benchmark.split}" if len(evaluated) == 1 else ""),
        first=first,
        second=second,
        about=" · ".join(counts),
        warnings=facts.alike(facts.warnings(evaluated)),
        hidden=[] if show_gated else gated,
        shown_gated=gated if show_gated else [],
        any_hidden=bool(gated) and not show_gated,
        gains=facts.key_figures(evaluated),
        headlines=tables,
        overview=_overview(evaluated),
        same=same,
        other_settings={"heads": differing.heads, "rows": differing.rows},
        splits=_splits(evaluated, queries),
        cut=data.level.description,
        listed=LISTED,
        data=data,
    )


def _splits(
    evaluated: Sequence[SplitEvaluation], queries: Sequence[Sequence[QueryOutcome]]
) -> list[dict[str, object]]:
    sections: list[dict[str, object]] = []
    start = 0
    for place, (split, rows) in enumerate(zip(evaluated, queries, strict=True)):
        numbers = {row.id: start + number for number, row in enumerate(rows)}
        # p-MRR's queries are pairs: a mark opens the side that was changed.
        numbers |= {name.removesuffix(CHANGED): n for name, n in numbers.items() if name.endswith(CHANGED)}
        start += len(rows)
        sections.append(
            {
                "id": f"split-{place}",
                "name": named(split),
                "about": facts.about(split),
                "compared": facts.compared(split),
                "plots": plots.plots_of(str(place), split, rows, numbers),
            }
        )
    return sections


def _overview(evaluated: Sequence[SplitEvaluation]) -> list[tuple[str, Markup]]:
    figures: list[tuple[str, Markup]] = []
    for measure in dict.fromkeys(split.measures[0] for split in evaluated):
        rows = [
            (named(split), comparison.difference, comparison.interval)
            for split in evaluated
            if split.measures[0] == measure
            for comparison in [split.comparisons.get(measure)]
            if comparison is not None
        ]
        if len(rows) > 1:
            figures.append((clean(measure), plots.differences(f"overview-{len(figures)}", rows, measure)))
    return figures
