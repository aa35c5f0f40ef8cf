"""The tables a report opens with: our numbers, their means over splits, and what others published.

One table a benchmark and measure where there are several splits (columns are splits), one a benchmark where
there is one split (columns are measures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import Result
from limrank_evals.published import published
from limrank_evals.reporting.averages import AVERAGE, MEAN_OF, averages
from limrank_evals.tables import Table, build_table


@dataclass(frozen=True, slots=True)
class Headline:
    """A table with what it is of.

    Attributes:
        benchmark: its name.
        measure: which, where all columns are of one; else "".
        main: it has the benchmark's main measure.
        ours: the names of the rows that were measured here.
        table: the numbers.
    """

    benchmark: str
    measure: str
    main: bool
    ours: frozenset[str]
    table: Table

    @property
    def heads(self) -> list[str]:
        """The columns' names, as short as they are clear."""
        splits = len({column.split for column in self.table.columns})
        if self.measure:
            return [column.split or column.benchmark for column in self.table.columns]
        return [f"{c.split} {c.measure}" if splits > 1 and c.split else c.measure for c in self.table.columns]

    @property
    def order(self) -> list[int]:
        """The columns' places as a screen shows them: means first, where they need no scrolling."""
        means = [c.split == AVERAGE or c.split.startswith(MEAN_OF) for c in self.table.columns]
        return sorted(range(len(means)), key=lambda place: not means[place])

    @property
    def settings(self) -> list[str]:
        """What holds for the columns' unmarked numbers, columns of one setting together."""
        columns: dict[str, list[str]] = {}
        for name, column, line in zip(self.heads, self.table.columns, self.table.settings, strict=True):
            columns.setdefault(line.removeprefix(f"{column.head}: "), []).append(name)
        return [f"{', '.join(names)}: {setting}" for setting, names in columns.items()]


def headlines(evaluated: Sequence[SplitEvaluation], means: Sequence[Result] | None = None) -> list[Headline]:
    """The tables, benchmarks in their order, each one's main measure first.

    Args:
        evaluated: the splits.
        means: what `averages` says of them, where that is known already.
    """
    means = averages(evaluated) if means is None else means
    tables = []
    for benchmark in dict.fromkeys(split.benchmark.name for split in evaluated):
        parts = [split for split in evaluated if split.benchmark.name == benchmark]
        ours = [result for split in parts for result in split.results]
        ours += [mean for mean in means if mean.identity.benchmark == benchmark]
        rows = [*_apart(ours), *beside(ours)]
        names = frozenset(result.system for result in rows if not result.published)
        measures = tuple(dict.fromkeys(m for split in parts for m in split.measures))
        measures = tuple(m for m in measures if any(m in result.scores for result in ours))
        if len(parts) == 1:
            tables.append(Headline(benchmark, "", True, names, build_table(rows, measures)))
            continue
        for place, measure in enumerate(measures):
            table = build_table([r for r in rows if measure in r.scores], [measure])
            tables.append(Headline(benchmark, measure, place == 0, names, table))
    return tables


def beside(ours: Sequence[Result]) -> list[Result]:
    """What was published for these results' benchmarks, splits and measures, under names of its own."""
    columns = {(r.identity.benchmark, r.identity.split, measure) for r in ours for measure in r.scores}
    taken = {result.system for result in ours}
    others = []
    for benchmark in dict.fromkeys(result.identity.benchmark for result in ours):
        for result in published(benchmark):
            scores = {
                m: s for m, s in result.scores.items() if (benchmark, result.identity.split, m) in columns
            }
            if scores:
                name = f"{result.system} (published)" if result.system in taken else result.system
                others.append(replace(result, system=name, scores=scores))
    return others


def _apart(results: Sequence[Result]) -> list[Result]:
    """Results of one system, split and measure that differ in their averaging, as rows of their own."""
    seen: set[tuple[str, str, str]] = set()
    rows = []
    for result in results:
        name, number = result.system, 2
        while any((name, result.identity.split, measure) in seen for measure in result.scores):
            averaging = result.identity.averaging
            name = (
                f"{result.system}, {averaging}"
                if averaging and averaging not in name
                else f"{result.system} ({number})"
            )
            number += name.endswith(f"({number})")
        seen |= {(name, result.identity.split, measure) for measure in result.scores}
        rows.append(replace(result, system=name))
    return rows
