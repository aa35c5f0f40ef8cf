"""`limrank eval run`: score a run against judgements; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_evals.cli import options
from limrank_evals.cli.printing import show_grid
from limrank_evals.comparison import Resampling
from limrank_evals.scoring import RunScorer, RunScores
from limrank_evals.stats.intervals import RESAMPLES
from limrank_evals.tables import Grid, ends_text, level_text, value_text
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.wording import number_of

SCHEMA = "limrank eval run 1"


@reports_errors
def run(
    run: Annotated[Path, typer.Argument(help="A run: TREC, or our .jsonl; .gz too.")],
    qrels: options.Judgements,
    measure: options.Measures = None,
    excluded: options.ExcludedFile = None,
    ties: options.Ties = "trec_eval",
    first_stage: options.FirstStageRun = None,
    depth: options.Depth = None,
    level: options.Level = 0.95,
    resamples: options.Resamples = RESAMPLES,
    seed: options.Seed = 0,
    per_query: Annotated[
        bool, typer.Option("--per-query", help="Every query's values, too (JSON and table).")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Score a run. Means are over all judged queries; one without results counts as 0."""
    resampling = Resampling(level, resamples, seed)
    scorer = RunScorer(qrels, measure, excluded, ties, first_stage, depth, resampling)
    scored = scorer.score(run)
    warnings = scored.warnings() + scorer.warnings()
    for warning in warnings:
        common.say(f"note: {warning}")
    if as_json:
        settings = {"run": str(run), **scorer.settings()}
        common.emit(record(scored, settings, per_query=per_query) | {"warnings": warnings})
        return
    _show(scored, level, per_query)


def record(scored: RunScores, settings: dict[str, Any], *, per_query: bool = False) -> dict[str, Any]:
    """The scores as JSON: every measure's mean under its own name, all else under names in lower case."""
    found: dict[str, Any] = {
        **scored.measured.means,
        "intervals": {name: list(i) if i else None for name, i in scored.intervals.items()},
        "counts": scored.counts(),
        "settings": settings,
        "warnings": scored.warnings(),
        "schema": SCHEMA,
    }
    if per_query:
        found["per_query"] = {name: dict(values) for name, values in scored.measured.per_query.items()}
    return found


def _show(scored: RunScores, level: float, per_query: bool) -> None:
    console = common.Terminal()
    means = scored.measured.means.items()
    rows = [[name, value_text(mean), ends_text(scored.intervals[name])] for name, mean in means]
    show_grid(Grid(("measure", "mean", f"{level_text(level)} interval"), rows), console)
    counts = scored.counts()
    told = [f"over {number_of(counts['judged'], 'judged query')}", f"ties by {scored.ties}"]
    if counts["excluded_removed"]:
        told.append(f"{number_of(counts['excluded_removed'], 'excluded document')} removed")
    console.print("; ".join(told), style="dim")
    if per_query:
        for name, values in scored.measured.per_query.items():
            for query, value in values.items():
                common.tell(f"{name}\t{query}\t{value:.4f}")
