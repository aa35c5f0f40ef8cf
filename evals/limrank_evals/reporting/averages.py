"""Means over the splits of one benchmark, as published tables have them: every split counts the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import SETTINGS, SYSTEM, Result
from limrank_evals.published import published
from limrank_evals.stats import Interval, WinTieLoss, bootstrap_of_means

# What a mean's split is called: over the splits that published means are over, and over others.
AVERAGE = "average"
MEAN_OF = "mean of "


@dataclass(frozen=True, slots=True)
class Gain:
    """One measure before and after, over several splits; `interval` is of the difference."""

    splits: int
    queries: int
    first: float
    second: float
    difference: float
    interval: Interval | None
    record: WinTieLoss


def gain(evaluated: Sequence[SplitEvaluation], measure: str) -> Gain | None:
    """The mean over splits of what reranking changed; None where a split was not compared by `measure`."""
    comparisons = [split.comparisons.get(measure) for split in evaluated]
    parts = [comparison for comparison in comparisons if comparison is not None]
    if not parts or len(parts) < len(comparisons):
        return None
    return Gain(
        len(parts),
        sum(part.queries for part in parts),
        sum(part.first for part in parts) / len(parts),
        sum(part.second for part in parts) / len(parts),
        sum(part.difference for part in parts) / len(parts),
        parts[0].interval
        if len(parts) == 1
        else bootstrap_of_means([[change.difference for change in part.changes] for part in parts]),
        WinTieLoss(*map(sum, zip(*(part.record for part in parts), strict=True))),
    )


def averages(evaluated: Sequence[SplitEvaluation]) -> list[Result]:
    """For every benchmark with several splits and every system scored on all of them, its mean.

    The split is called `average`, as in published tables, only where it is over the same splits as theirs;
    else `mean of 3 splits`. What differs between the splits' settings is left out of the mean's.
    """
    means = []
    for benchmark in dict.fromkeys(split.benchmark.name for split in evaluated):
        parts = [split for split in evaluated if split.benchmark.name == benchmark]
        splits = {split.benchmark.split for split in parts}
        if len(splits) < 2 or len(splits) < len(parts):
            continue
        theirs = {result.identity.split for result in published(benchmark)} - {AVERAGE}
        name = AVERAGE if splits == theirs else f"{MEAN_OF}{len(splits)} splits"
        systems = dict.fromkeys((r.system, r.identity.averaging) for split in parts for r in split.results)
        for system, averaging in systems:
            results = [
                (split, r)
                for split in parts
                for r in split.results
                if (r.system, r.identity.averaging) == (system, averaging) and r.identity.split in splits
            ]
            if sorted(r.identity.split for _, r in results) == sorted(splits):
                means.append(_mean(results, name))
    return means


def _mean(parts: Sequence[tuple[SplitEvaluation, Result]], split: str) -> Result:
    results = [result for _, result in parts]
    first, identities = results[0], [result.identity for result in results]
    settings = (*SETTINGS, *SYSTEM)
    differ = [name for name in settings if len({getattr(identity, name) for identity in identities}) > 1]
    unknown: dict[str, Any] = {name: None if name == "depth" else "" for name in differ}
    measures = [name for name in first.scores if all(name in r.scores for r in results)]
    counts = [name for name in first.counts if all(name in r.counts for r in results)]
    intervals = {}
    for name in measures:
        values = [_values(split, result, name) for split, result in parts]
        known = [numbers for numbers in values if numbers is not None]
        ends = bootstrap_of_means(known) if len(known) == len(values) else None
        if ends is not None:
            intervals[name] = (ends.low, ends.high)
    return Result(
        first.system,
        replace(first.identity, **unknown, split=split),
        {name: sum(r.scores[name] for r in results) / len(results) for name in measures},
        intervals,
        {name: sum(r.counts[name] for r in results) for name in counts},
    )


def _values(split: SplitEvaluation, result: Result, measure: str) -> Collection[float] | None:
    """The queries' values that a result's score is the mean of; None where it is of some of them only."""
    scored = split.first if result.system == split.results[0].system else split.last
    values = scored.measured.per_query.get(measure, {}).values()
    same = bool(values) and abs(sum(values) / len(values) - result.scores[measure]) < 1e-9
    return values if same else None
