"""One split of a benchmark, ranked and scored: what reports, tables and error analyses are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_evals.comparison import Comparison
from limrank_evals.identity import Result
from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.scoring import RunScores
from limrank_plugins.errors import InputError
from limrank_plugins.unread import Unread


@dataclass(frozen=True, slots=True)
class SplitEvaluation:
    """What came out for one split.

    Attributes:
        benchmark: queries, documents, judgements; of gated sets, texts that must not be shown.
        measures: what was measured, the one that the benchmark is known by first.
        first: the first stage, or the lists that were given, scored.
        reranked: the reranker's order, scored; None where nothing was reranked.
        records: how every query was reranked, as `limrank_plugins.io.ranking_record` writes it, in the
            benchmark's order of queries; empty where nothing was reranked.
        comparisons: of the first stage with the reranker, by measure; empty where nothing was reranked.
        results: the numbers with their settings, the first stage's first; more than one of a system
            where the benchmark has several ways to average.
        failures: documents that the reranker could not judge; they keep their first-stage places.
        warnings: what a reader must know beside the numbers, a sentence each.
        unread: what of queries and documents the reranker's model did not read.
        gated: the texts of queries and documents are left out of everything that is written.
    """

    benchmark: Benchmark
    measures: tuple[str, ...]
    first: RunScores
    reranked: RunScores | None
    records: Sequence[Mapping[str, Any]]
    comparisons: Mapping[str, Comparison]
    results: tuple[Result, ...]
    failures: int = 0
    warnings: tuple[str, ...] = ()
    gated: bool = False
    unread: Unread = field(default_factory=Unread)

    def __post_init__(self) -> None:
        if (self.reranked is None) != (not self.records):
            raise InputError("a split that was reranked has a record for every query, and only such a one")

    @property
    def last(self) -> RunScores:
        """The reranker's scores where there is one, else the first stage's."""
        return self.first if self.reranked is None else self.reranked

    def as_json(self) -> dict[str, Any]:
        """For machines: means by measure, first stage and reranked, and all else beside them."""
        return {
            "first": dict(self.first.measured.means),
            "reranked": None if self.reranked is None else dict(self.reranked.measured.means),
            "comparisons": {name: comparison.as_json(0) for name, comparison in self.comparisons.items()},
            "results": [result.as_json() for result in self.results],
            "failures": self.failures,
            **self.unread.as_json(),
            "warnings": list(self.warnings),
        }
