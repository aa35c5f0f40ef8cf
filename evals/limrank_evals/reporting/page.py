"""report.html: one file with its styles, script, pictures and data; nothing is fetched, nothing else runs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from limrank_evals.evaluation.evaluated import Evaluated
from limrank_evals.pmrr import CHANGED
from limrank_evals.reporting import facts, plots
from limrank_evals.reporting.asked import Asked
from limrank_evals.reporting.embedded import BUDGET, LISTED, embed, named
from limrank_evals.reporting.headline import Headline
from limrank_evals.reporting.shown import clean
from limrank_plugins import __version__

_SCRIPTS = ("dom.js", "movement.js", "detail.js", "list.js")


def report_html(
    evaluated: Sequence[Evaluated],
    queries: Sequence[Sequence[Asked]],
    tables: Sequence[Headline],
    *,
    show_gated: bool = False,
    budget: int = BUDGET,
) -> str:
    """The page.

    Args:
        evaluated: the splits.
        queries: of each of them, see `limrank_evals.reporting.asked`.
        tables: to open with, see `limrank_evals.reporting.headline`.
        show_gated: show the texts of gated sets instead of hashes.
        budget: how many characters all documents' texts and numbers may take, see `embed`.
    """
    engine = Environment(
        loader=PackageLoader("limrank_evals.reporting", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    style = _file("report.css")
    script = "\n".join(map(_file, _SCRIPTS))
    gated = [named(one) for one in evaluated if one.gated]
    first, second = facts.systems(evaluated)
    same, differing = facts.settings(evaluated)
    data = embed(evaluated, queries, show_gated=show_gated, budget=budget)
    benchmarks = list(dict.fromkeys(one.benchmark.name for one in evaluated))
    counts = [f"{sum(map(len, queries)):,} queries"]
    counts += [f"{len(evaluated)} splits"] if len(evaluated) > 1 else []
    return engine.get_template("report.html.jinja").render(
        policy=_policy(style, script),
        version=__version__,
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
        cut=data.level.told,
        listed=LISTED,
        data=data,
        style=Markup(style),
        script=Markup(script),
    )


def _splits(evaluated: Sequence[Evaluated], queries: Sequence[Sequence[Asked]]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    start = 0
    for place, (one, rows) in enumerate(zip(evaluated, queries, strict=True)):
        numbers = {row.id: start + number for number, row in enumerate(rows)}
        # p-MRR's queries are pairs: a mark opens the side that was changed.
        numbers |= {name.removesuffix(CHANGED): n for name, n in numbers.items() if name.endswith(CHANGED)}
        start += len(rows)
        found.append(
            {
                "id": f"split-{place}",
                "name": named(one),
                "about": facts.about(one),
                "compared": facts.compared(one),
                "plots": plots.plots_of(str(place), one, rows, numbers),
            }
        )
    return found


def _overview(evaluated: Sequence[Evaluated]) -> list[tuple[str, Markup]]:
    found: list[tuple[str, Markup]] = []
    for measure in dict.fromkeys(one.measures[0] for one in evaluated):
        rows = [
            (named(one), comparison.difference, comparison.interval)
            for one in evaluated
            if one.measures[0] == measure
            for comparison in [one.comparisons.get(measure)]
            if comparison is not None
        ]
        if len(rows) > 1:
            found.append((clean(measure), plots.differences(f"overview-{len(found)}", rows, measure)))
    return found


def _policy(style: str, script: str) -> str:
    """Only this style sheet and this script, by their hashes; no request, no string as markup or script."""
    allowed = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        f"script-src {_hash(script)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join(allowed)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _file(name: str) -> str:
    return files("limrank_evals.reporting").joinpath("page", name).read_text("utf-8")
