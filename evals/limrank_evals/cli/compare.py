"""`limrank eval compare`: two runs on the same judgements, worst regressions first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limrank_evals.cli import options
from limrank_evals.cli.printing import difference_cells, show_grid
from limrank_evals.comparison import Comparison, Resampling
from limrank_evals.comparison import compare as compared
from limrank_evals.scoring import RunScorer
from limrank_evals.stats.intervals import RESAMPLES
from limrank_evals.tables import Grid, level_text, value_text
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of, shortened, verb_for

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
    resampling = Resampling(level, resamples, seed)
    scorer = RunScorer(qrels, measure, excluded, ties, first_stage, depth, resampling)
    scores = [scorer.score(run) for run in (first, second)]
    notes = [
        f"{run}: {note}" for run, s in zip((first, second), scores, strict=True) for note in s.warnings()
    ]
    notes += scorer.warnings()
    comparisons = compared(scores[0].measured, scores[1].measured, resampling)
    notes += [
        f"{name}: {number_of(left_out, 'query')} {verb_for(left_out, 'have')} a value in one run only and "
        f"{verb_for(left_out, 'are')} left out"
        for name, comparison in comparisons.items()
        if (left_out := len(comparison.left_out))
    ]
    for note in notes:
        common.say(f"note: {note}")
    if as_json:
        common.emit(
            {
                "measures": {name: comparison.as_json(worst) for name, comparison in comparisons.items()},
                "counts": {"first": scores[0].counts(), "second": scores[1].counts()},
                "settings": {"first": str(first), "second": str(second), **scorer.settings()},
                "warnings": notes,
                "schema": SCHEMA,
            }
        )
        return
    _show(comparisons, level, worst)


def _show(comparisons: dict[str, Comparison], level: float, worst: int) -> None:
    interval = f"{level_text(level)} interval"
    heads = ("measure", "first", "second", "difference", interval, "p (rand.)", "p (t)")
    rows = []
    for name, c in comparisons.items():
        means = value_text(c.first), value_text(c.second), value_text(c.difference, signed=True)
        interval, p, record = difference_cells(c)
        rows.append([name, *means, interval, p, value_text(c.t_p), record])
    console = common.Terminal()
    show_grid(Grid((*heads, "won/tied/lost"), rows), console)
    for name, comparison in comparisons.items():
        for change in comparison.regressions(worst):
            values = f"{change.difference:+.4f}  ({change.first:.4f} → {change.second:.4f})"
            console.print(f"{name}  {values}  {shortened(change.query)}", soft_wrap=True)
