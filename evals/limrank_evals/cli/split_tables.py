"""How `limrank eval NAME` shows a split on the terminal and to machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from limrank_evals.cli import options
from limrank_evals.comparison import compare_values
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import Result
from limrank_evals.splits import Average
from limrank_plugins.cli import common


def show(found: SplitEvaluation, averages: Sequence[Average]) -> None:
    """One table: the first stage beside the reranker, and how sure the difference is."""
    by_name = {average.name: average for average in averages}
    console = common.Terminal()
    console.width = max(console.width, 130)  # a table narrower than that would lose its numbers
    benchmark = found.benchmark
    console.print(f"\n{benchmark.name} {benchmark.split}".rstrip(), style="bold")
    firsts = [result for result in found.results if not result.identity.recipe]
    others = [result for result in found.results if result.identity.recipe]
    heads: tuple[str, ...] = ("measure", "first stage", "95% interval")
    if others:
        heads = (
            "measure",
            "first stage",
            "reranked",
            "difference",
            "95% interval",
            "p (rand.)",
            "won/tied/lost",
        )
    table = Table(*heads, box=None, padding=(0, 1))
    for place, first in enumerate(firsts):
        for measure in first.scores:
            if others:
                average = by_name[first.identity.averaging]
                table.add_row(*_compared(found, average, first, others[place], measure))
            else:
                table.add_row(_label(found, first, measure), *_alone(first, measure))
    console.print(table)
    identity = found.results[-1].identity
    about = [
        f"first stage {identity.first_stage}",
        f"queries {identity.queries}",
        f"depth {identity.depth}",
        f"instructions {identity.prompts}" if others else "nothing reranked",
        f"{found.first.counts()['judged']} judged queries",
    ]
    console.print("; ".join(about), style="dim", soft_wrap=True)


def show_means(means: Sequence[Result]) -> None:
    """One line for every system and measure: its mean over the splits, each of which counts the same."""
    console = common.Terminal()
    for mean in means:
        scores = "  ".join(f"{measure} {score:.4f}" for measure, score in mean.scores.items())
        about = f"{mean.identity.benchmark} {mean.identity.split}, {mean.system}"
        if mean.identity.averaging:
            about += f", {mean.identity.averaging}"
        console.print(f"{about}: {scores}", soft_wrap=True)


def as_json(found: SplitEvaluation) -> dict[str, Any]:
    """A split for machines: means by measure, first stage and reranked, and all else beside them."""
    return {
        "first": dict(found.first.measured.means),
        "reranked": None if found.reranked is None else dict(found.reranked.measured.means),
        "comparisons": {name: one.as_json(0) for name, one in found.comparisons.items()},
        "results": [result.as_json() for result in found.results],
        "failures": found.failures,
        "warnings": list(found.warnings),
    }


def _label(found: SplitEvaluation, result: Result, measure: str) -> str:
    """The measure, with what it is averaged over where there are several ways."""
    several = len({one.identity.averaging for one in found.results}) > 1
    return f"{measure} ({result.identity.averaging})" if several else measure


def _alone(result: Result, measure: str) -> tuple[str, str]:
    ends = result.intervals.get(measure)
    return f"{result.scores[measure]:.4f}", "–" if ends is None else f"{ends[0]:.4f} … {ends[1]:.4f}"


def _compared(
    found: SplitEvaluation, average: Average, first: Result, other: Result, measure: str
) -> tuple[str, ...]:
    values = first.scores[measure], other.scores[measure]
    row = (
        _label(found, first, measure),
        *(f"{value:.4f}" for value in values),
        f"{values[1] - values[0]:+.4f}",
    )
    if average.over:  # a mean of means has no queries to be compared by
        return (*row, "", "", "")
    one = found.comparisons[measure]
    if average.group:
        group = found.benchmark.groups[average.group]
        pairs = {change.query: change for change in one.changes if change.query in group}
        one = compare_values(
            {query: change.first for query, change in pairs.items()},
            {query: change.second for query, change in pairs.items()},
        )
    p = "–" if one.randomisation_p is None else f"{one.randomisation_p:.4f}"
    return (*row, options.shown(one.interval, signed=True), p, "/".join(map(str, one.record)))
