"""`limrank eval compare`: two runs on the same judgements, worst regressions first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from limrank_evals.cli import options
from limrank_evals.comparison import Comparison
from limrank_evals.comparison import compare as compared
from limrank_evals.scoring import RunScorer
from limrank_evals.stats.intervals import RESAMPLES
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError

SCHEMA = "limrank eval compare 1"


@reports_errors
def compare(
    first: Annotated[Path, typer.Argument(help="The run to compare with: the older or simpler one.")],
    second: Annotated[Path, typer.Argument(help="The other run; above 0 it is the better one.")],
    qrels: options.Judgements,
    measure: options.Measures = None,
    excluded: options.ExcludedFile = None,
    ties: options.Ties = "trec_eval",
    first_stage: options.FirstStageRun = None,
    depth: options.Depth = None,
    level: options.Level = 0.95,
    resamples: options.Resamples = RESAMPLES,
    seed: options.Seed = 0,
    worst: Annotated[int, typer.Option(help="How many regressions to list for every measure.")] = 10,
    as_json: common.AsJson = False,
) -> None:
    """Compare two runs: differences with intervals, paired tests, queries won, tied and lost."""
    if worst < 0:
        raise InputError(f"--worst must be 0 or more, but is {worst}")
    scorer = RunScorer(qrels, measure, excluded, ties, first_stage, depth, level, resamples, seed)
    scores = [scorer.score(run) for run in (first, second)]
    notes = [
        f"{run}: {note}" for run, s in zip((first, second), scores, strict=True) for note in s.warnings()
    ]
    found = compared(scores[0].measured, scores[1].measured, level=level, resamples=resamples, seed=seed)
    notes += [
        f"{name}: {len(one.left_out)} queries have a value in one run only and are left out"
        for name, one in found.items()
        if one.left_out
    ]
    for note in notes:
        common.say(f"note: {note}")
    if as_json:
        common.emit(
            {
                "measures": {name: one.as_json(worst) for name, one in found.items()},
                "counts": {"first": scores[0].counts(), "second": scores[1].counts()},
                "settings": {"first": str(first), "second": str(second), **scorer.settings()},
                "warnings": notes,
                "schema": SCHEMA,
            }
        )
        return
    _show(found, level, worst)


def _show(found: dict[str, Comparison], level: float, worst: int) -> None:
    console = common.Terminal()
    console.width = max(console.width, 110)  # a table narrower than that would lose its numbers
    heads = ("measure", "first", "second", "difference", f"{level:.0%} interval", "p (rand.)", "p (t)")
    table = Table(*heads, "won/tied/lost", box=None, padding=(0, 1))
    for name, one in found.items():
        table.add_row(
            name,
            f"{one.first:.4f}",
            f"{one.second:.4f}",
            f"{one.difference:+.4f}",
            options.shown(one.interval, signed=True),
            _p(one.randomisation_p),
            _p(one.t_p),
            "/".join(map(str, one.record)),
        )
    console.print(table)
    for name, one in found.items():
        for change in one.regressions(worst):
            values = f"{change.difference:+.4f}  ({change.first:.4f} → {change.second:.4f})"
            console.print(f"{name}  {values}  {change.query}", soft_wrap=True)


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
