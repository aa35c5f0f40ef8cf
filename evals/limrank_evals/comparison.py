"""Intervals of means, and two systems on the same queries: their difference, its tests, the regressions.

The one comparison of this room: evaluations, error analyses, ablations and questions all use it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from limrank_evals.measures import Measurement
from limrank_evals.stats import (
    Interval,
    WinTieLoss,
    bootstrap,
    randomisation_test,
    t_test,
    won_tied_lost,
)
from limrank_evals.stats.intervals import RESAMPLES, check_level
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError


class Mean(NamedTuple):
    """A mean over queries with its interval."""

    mean: float
    interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"mean": self.mean, "interval": ends(self.interval)}


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals and randomisation tests are made: see `limrank_evals.stats`.

    Attributes:
        level: of the intervals.
        resamples: of the bootstrap and of the randomisation test.
        seed: of both.
    """

    level: float = 0.95
    resamples: int = RESAMPLES
    seed: int = 0

    def __post_init__(self) -> None:
        check_level(self.level)
        whole_number("resamples", self.resamples, least=1)

    def mean(self, values: Sequence[float]) -> Mean | None:
        """The mean of some queries' values; None for none."""
        if not values:
            return None
        return Mean(sum(values) / len(values), self.interval(values))

    def interval(self, values: Collection[float]) -> Interval | None:
        """The bootstrap's interval of their mean."""
        return bootstrap(values, level=self.level, resamples=self.resamples, seed=self.seed)


USUAL = Resampling()


class Change(NamedTuple):
    """One query under two systems; `difference` is the second's value minus the first's."""

    query: str
    first: float
    second: float
    difference: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of two systems.

    Attributes:
        first, second: their means over `queries`.
        difference: second minus first: above 0, the second is better.
        interval: of the difference, by the bootstrap over queries.
        randomisation_p, t_p: p-values of the paired tests.
        record: on how many queries the second won, tied and lost.
        changes: every query, worst regression first; equal ones by id.
        left_out: queries that only one of the two has a value for (p-MRR alone has such).
    """

    first: float
    second: float
    difference: float
    interval: Interval | None
    randomisation_p: float | None
    t_p: float | None
    record: WinTieLoss
    changes: tuple[Change, ...]
    left_out: tuple[str, ...] = ()

    @property
    def queries(self) -> int:
        """How many queries both have a value for."""
        return len(self.changes)

    def regressions(self, most: int) -> list[Change]:
        """The queries that got worse, worst first, no more than `most`."""
        return [change for change in self.changes[: max(0, most)] if change.difference < 0]

    def tests_json(self) -> dict[str, Any]:
        """The difference with its interval and p-values, for machines."""
        return {
            "difference": self.difference,
            "interval": ends(self.interval),
            "p": {"randomisation": self.randomisation_p, "t": self.t_p},
        }

    def as_json(self, most: int = 10) -> dict[str, Any]:
        """For machines; see docs/evaluation.md for the schema."""
        return {
            "first": self.first,
            "second": self.second,
            **self.tests_json(),
            "queries": {"both": self.queries, **self.record._asdict(), "left_out": len(self.left_out)},
            "regressions": [change._asdict() for change in self.regressions(most)],
        }


def compare(first: Measurement, second: Measurement, resampling: Resampling = USUAL) -> dict[str, Comparison]:
    """Compare two runs measured on the same judgements, by measure.

    Args:
        first: the one to compare with, the older or simpler one.
        second: the other.
        resampling: how intervals and tests are made.

    Raises:
        InputError: they were measured on different queries or by different measures.
    """
    if first.coverage.judged != second.coverage.judged:
        raise InputError("two runs are compared on the same judgements, but these were judged on others")
    if set(first.per_query) != set(second.per_query):
        raise InputError(
            f"two runs are compared by the same measures, but these have {', '.join(first.per_query)} "
            f"and {', '.join(second.per_query)}"
        )
    return {
        name: compare_values(values, second.per_query[name], resampling)
        for name, values in first.per_query.items()
    }


def compare_values(
    first: Mapping[str, float], second: Mapping[str, float], resampling: Resampling = USUAL
) -> Comparison:
    """Compare two systems by one number for each query; arguments as for `compare`.

    Raises:
        InputError: no query has a value in both.
    """
    both = sorted(set(first) & set(second))
    if not both:
        raise InputError("there is no query that both systems have a value for")
    changes = [Change(query, first[query], second[query], second[query] - first[query]) for query in both]
    differences = [change.difference for change in changes]
    return Comparison(
        first=sum(change.first for change in changes) / len(both),
        second=sum(change.second for change in changes) / len(both),
        difference=sum(differences) / len(both),
        interval=resampling.interval(differences),
        randomisation_p=randomisation_test(differences, resamples=resampling.resamples, seed=resampling.seed),
        t_p=t_test(differences),
        record=won_tied_lost(differences),
        changes=tuple(sorted(changes, key=lambda change: (change.difference, change.query))),
        left_out=tuple(sorted(set(first) ^ set(second))),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the order given (Holm 1979, step-down).

    The i-th smallest of m is multiplied by m - i + 1, and none is below a smaller one's.
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = least
    return corrected


def ends(interval: Interval | None) -> list[float] | None:
    """An interval's ends, for JSON."""
    return None if interval is None else list(interval)
