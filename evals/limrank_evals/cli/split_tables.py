"""How `limrank eval NAME` shows a split on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from limrank_evals.cli.printing import difference_cells, show_grid
from limrank_evals.comparison import compare_values
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import Result
from limrank_evals.splits import Average
from limrank_evals.tables import Grid, ends_text, value_text
from limrank_plugins.cli import common
from limrank_plugins.wording import number_of

_ALONE = ("measure", "first stage", "95% interval")
_COMPARED = ("measure", "first stage", "reranked", "difference", "95% interval", "p (rand.)", "won/tied/lost")


def show(evaluation: SplitEvaluation, averages: Sequence[Average]) -> None:
    """One table: the first stage beside the reranker, and how sure the difference is."""
    by_name = {average.name: average for average in averages}
    console = common.Terminal()
    benchmark = evaluation.benchmark
    console.print(f"\n{benchmark.name} {benchmark.split}".rstrip(), style="bold")
    firsts = [result for result in evaluation.results if not result.identity.recipe]
    others = [result for result in evaluation.results if result.identity.recipe]
    rows = []
    for place, first in enumerate(firsts):
        for measure, score in first.scores.items():
            row = [_label(evaluation, first, measure), value_text(score)]
            if others:
                other = others[place].scores[measure]
                average = by_name[first.identity.averaging]
                row += [value_text(other), *_difference(evaluation, average, measure, other - score)]
            else:
                row.append(ends_text(first.intervals.get(measure)))
            rows.append(row)
    show_grid(Grid(_COMPARED if others else _ALONE, rows), console)
    identity = evaluation.results[-1].identity
    about = [
        f"first stage {identity.first_stage}",
        f"queries {identity.queries}",
        f"depth {identity.depth}",
        f"instructions {identity.prompts}" if others else "nothing reranked",
        number_of(evaluation.first.counts()["judged"], "judged query"),
        *evaluation.unread.sentences(),
    ]
    console.print("; ".join(about), style="dim", soft_wrap=True)


def show_means(means: Sequence[Result]) -> None:
    """One line for every system and measure: its mean over the splits, each of which counts the same."""
    console = common.Terminal()
    for mean in means:
        scores = "  ".join(f"{measure} {value_text(score)}" for measure, score in mean.scores.items())
        about = f"{mean.identity.benchmark} {mean.identity.split}, {mean.system}"
        if mean.identity.averaging:
            about += f", {mean.identity.averaging}"
        console.print(f"{about}: {scores}", soft_wrap=True)


def _label(evaluation: SplitEvaluation, result: Result, measure: str) -> str:
    """The measure, with what it is averaged over where there are several ways."""
    several = len({other.identity.averaging for other in evaluation.results}) > 1
    return f"{measure} ({result.identity.averaging})" if several else measure


def _difference(evaluation: SplitEvaluation, average: Average, measure: str, difference: float) -> list[str]:
    shown = value_text(difference, signed=True)
    if average.over:  # a mean of means has no queries to be compared by
        return [shown, "", "", ""]
    comparison = evaluation.comparisons[measure]
    if average.group:
        group = evaluation.benchmark.groups[average.group]
        pairs = [change for change in comparison.changes if change.query in group]
        comparison = compare_values(
            {change.query: change.first for change in pairs},
            {change.query: change.second for change in pairs},
        )
    return [shown, *difference_cells(comparison)]
