"""A measure by how many relevant documents a query has: the paper's open question about queries with few.

With one relevant document a measure is all or nothing, with many it can hardly be 0: a mean that grows with
the number says little about a reranker. So it stands beside the first stage's and the ceiling's, and the
trend is tested of what the reranker adds and of what it loses, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from limrank_evals.comparison import Resampling, compare_values
from limrank_evals.errors.error_budget import ErrorBudget
from limrank_evals.errors.query_failures import OUTCOMES, QueryFailures
from limrank_evals.errors.trend import Trend, spearman
from limrank_evals.judgements import Qrels, relevant
from limrank_plugins.errors import InputError

DEFAULT_BINS = "1,2,3-5,6-10,11-"
_MEANS = ("achieved", "ceiling", "lost_by_ordering", "first_stage")
_TRENDS = ("achieved", "lost_by_ordering", "first_stage", "gained_over_first_stage")


class Bin(NamedTuple):
    """Numbers of relevant documents from `low` to `high`, both included; None: any above."""

    low: int
    high: int | None

    @property
    def label(self) -> str:
        """As it is shown: `2`, `3–5`, `>10`."""
        if self.high is None:
            return f">{self.low - 1}"
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"

    def holds(self, count: int) -> bool:
        """Whether a number of relevant documents is in it."""
        return self.low <= count and (self.high is None or count <= self.high)


def parse_bins(written: str) -> tuple[Bin, ...]:
    """Bins as in `1,2,3-5,6-10,11-`: ascending, apart from each other, from 1 on.

    Raises:
        InputError: they are not.
    """
    bins: list[Bin] = []
    for part in written.split(","):
        match = re.fullmatch(r"([0-9]{1,9})(-([0-9]{1,9})?)?", part.strip())
        if match is None:
            raise InputError(
                f"bins are written as in {DEFAULT_BINS}, but got {part.strip()!r} in {written!r}"
            )
        low = int(match[1])
        high = low if match[2] is None else None if match[3] is None else int(match[3])
        before = bins[-1].high if bins else 0
        if before is None or low <= before or (high is not None and high < low):
            raise InputError(
                f"bins must ascend from 1 and lie apart, but {part.strip()!r} in {written!r} does not"
            )
        bins.append(Bin(low, high))
    return tuple(bins)


@dataclass(frozen=True, slots=True)
class RelevantCounts:
    """Queries by their number of relevant documents.

    Attributes:
        bins: and the queries in each, in their order.
        relevant: how many relevant documents every query has that has any.
        outside: queries with relevant documents that are in no bin.
    """

    bins: tuple[tuple[Bin, tuple[str, ...]], ...]
    relevant: dict[str, int]
    outside: tuple[str, ...]

    def trends(self, budget: ErrorBudget, resampling: Resampling) -> dict[str, Trend | None]:
        """How numbers go with the number of relevant documents: Spearman's rho and its p-value.

        Of the measure (`achieved`), of what ordering lost (`lost_by_ordering`) and, with a first stage, of
        its own measure (`first_stage`) and what the reranker added (`gained_over_first_stage`).
        """
        parts, counts = budget.parts(self.relevant), list(self.relevant.values())
        return {
            name: spearman(counts, parts[name], resamples=resampling.resamples, seed=resampling.seed)
            for name in _TRENDS
            if name in parts
        }

    def as_json(self, budget: ErrorBudget, failing: QueryFailures, resampling: Resampling) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        return {
            "bins": [_row(bin_, queries, budget, failing, resampling) for bin_, queries in self.bins],
            "outside": len(self.outside),
            "trend": {
                name: None if trend is None else trend._asdict()
                for name, trend in self.trends(budget, resampling).items()
            },
        }


def relevant_counts_of(qrels: Qrels, bins: Sequence[Bin]) -> RelevantCounts:
    """Sort the judged queries that have relevant documents into bins."""
    counts = {query: len(relevant(qrels, query)) for query in sorted(qrels)}
    counts = {query: count for query, count in counts.items() if count}
    inside = tuple(
        (bin_, tuple(query for query, count in counts.items() if bin_.holds(count))) for bin_ in bins
    )
    placed = {query for _, queries in inside for query in queries}
    return RelevantCounts(inside, counts, tuple(query for query in counts if query not in placed))


def _row(
    bin_: Bin, queries: Sequence[str], budget: ErrorBudget, failing: QueryFailures, resampling: Resampling
) -> dict[str, Any]:
    parts = budget.parts(queries)
    means = {name: resampling.mean(parts.get(name, ())) for name in _MEANS}
    outcomes = [failing.outcomes[query] for query in queries]
    row: dict[str, Any] = {
        "relevant": bin_.label,
        "low": bin_.low,
        "high": bin_.high,
        "queries": len(queries),
        **{name: None if mean is None else mean.as_json() for name, mean in means.items()},
        **{outcome: outcomes.count(outcome) for outcome in OUTCOMES},
        "dropped": None if failing.dropped is None else len(set(failing.dropped) & set(queries)),
        "against_first_stage": None,
    }
    if budget.first is not None and queries:
        comparison = compare_values(
            {query: budget.first[query] for query in queries},
            {query: budget.achieved[query] for query in queries},
            resampling,
        )
        row["against_first_stage"] = {**comparison.tests_json(), **comparison.record._asdict()}
    return row
