"""From scores to results: one for every way a benchmark averages, with its whole setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from limrank_evals.comparison import Resampling
from limrank_evals.evaluation.systems import System
from limrank_evals.identity import Identity, Result
from limrank_evals.scoring import RunScores
from limrank_evals.splits import Average, Split
from limrank_evals.stats import Interval, bootstrap_of_means


def results_of(
    split: Split,
    scored: RunScores,
    setting: Mapping[str, Any],
    system: System | None,
    counts: Mapping[str, int],
    resampling: Resampling,
) -> list[Result]:
    """The results of one system on one split.

    Args:
        split: what was measured, and how it averages.
        scored: the scores.
        setting: of the identity: `first_stage`, `queries`, `depth`, `prompts`, `ties`.
        system: what reranked; None for the first stage as it is.
        counts: to be reported beside the scores' own.
        resampling: of the intervals.
    """
    results = []
    for average in split.averages:
        identity = Identity(
            split.benchmark.name,
            average.split or split.benchmark.split,
            qrels=split.benchmark.variant,
            averaging=average.name,
            recipe="" if system is None else system.recipe,
            model="" if system is None else system.model,
            backend="" if system is None else system.backend,
            **setting,
        )
        values = _values(split, scored, average)
        if not values:  # a set of one's own that has no such queries
            continue
        split_up = {name: _split_up(split, of, average) for name, of in values.items()}
        ends = {name: _interval(of, resampling) for name, of in split_up.items()}
        if not average.group and not average.over:
            ends = {name: scored.intervals[name] for name in values}  # drawn already
        all_counts = {**_counts(split, scored, average), **counts}
        results.append(
            Result(
                identity.first_stage if system is None else system.name,
                identity,
                {name: _mean([_mean(some) for some in of]) for name, of in split_up.items()},
                {name: (interval.low, interval.high) for name, interval in ends.items() if interval},
                all_counts,
            )
        )
    return results


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _split_up(split: Split, values: Mapping[str, float], average: Average) -> list[list[float]]:
    """The values of each group whose means are averaged; all of them where there is one mean only."""
    groups = [split.benchmark.groups[name] for name in average.over] or [frozenset(values)]
    inside = [[value for query, value in values.items() if query in group] for group in groups]
    return [some for some in inside if some]


def _interval(split_up: Sequence[Sequence[float]], resampling: Resampling) -> Interval | None:
    """The bootstrap's, queries drawn anew within every group."""
    if len(split_up) == 1:
        return resampling.interval(split_up[0])
    return bootstrap_of_means(split_up, **asdict(resampling))


def _counts(split: Split, scored: RunScores, average: Average) -> dict[str, int]:
    if not average.group:
        return scored.counts()
    group, coverage = split.benchmark.groups[average.group], scored.measured.coverage
    names = ("judged", "without_results", "without_relevant")
    return {name: sum(query in group for query in getattr(coverage, name)) for name in names}


def _values(split: Split, scored: RunScores, average: Average) -> dict[str, dict[str, float]]:
    """The queries' values that this average is over, by measure."""
    all_values = scored.measured.per_query
    wanted = [name for name in average.measures if name in all_values] or list(all_values)
    group = split.benchmark.groups[average.group] if average.group else None
    values = {
        name: {query: value for query, value in all_values[name].items() if group is None or query in group}
        for name in wanted
    }
    return {name: of for name, of in values.items() if of}
