"""What came of an A/B comparison: how often the top differs, which queries move most, and which side wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from limrank_evals.ab.rank_overlap import overlap, rank_biased_overlap
from limrank_evals.comparison import Comparison, Mean, Resampling, compare
from limrank_evals.judgements import Qrels
from limrank_evals.measures import measure
from limrank_evals.runs import Ranked
from limrank_evals.tables import Grid, ends_text, level_text, value_text
from limrank_plugins import __version__
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.io import write_run
from limrank_plugins.outputs import write_json, write_whole
from limrank_plugins.wording import number_of, shortened, verb_for

SCHEMA = "limrank eval ab 1"
MEASURES = ("nDCG@10",)


class Moved(NamedTuple):
    """One query under both sides.

    Attributes:
        query: its id.
        text: what was asked.
        rbo: rank-biased overlap of the two rankings.
        overlap: of the first documents.
        first: the best document of A.
        second: the best document of B.
    """

    query: str
    text: str
    rbo: float
    overlap: float
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class AbReport:
    """Two rerankers on the same queries and candidates.

    Attributes:
        moved: every query with candidates, those that differ most first; equal ones by id.
        alike: how alike the rankings are, by what is measured: means over queries.
        comparisons: by measure, B against A, over all judged queries; empty without judgements.
        settings: what the numbers depend on, as JSON; `level` is that of the intervals.
        warnings: what a reader must know beside the numbers, a sentence each.
    """

    moved: tuple[Moved, ...]
    alike: Mapping[str, Mean]
    comparisons: Mapping[str, Comparison]
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines; see docs/judging.md."""
        return {
            "schema": SCHEMA,
            "queries": len(self.moved),
            "alike": {name: mean.as_json() for name, mean in self.alike.items()},
            "measures": {name: comparison.as_json() for name, comparison in self.comparisons.items()},
            "moved": [query._asdict() for query in self.moved],
            "settings": {**self.settings, "version": __version__},
            "warnings": list(self.warnings),
        }


def compare_sides(
    queries: Sequence[Query],
    first: Ranked,
    second: Ranked,
    *,
    cutoff: int = 10,
    persistence: float = 0.9,
    qrels: Qrels | None = None,
    measures: Sequence[str] = MEASURES,
    resampling: Resampling,
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> AbReport:
    """Compare two rankings of the same candidates.

    Args:
        queries: that were asked.
        first: A's documents by query, best first.
        second: B's.
        cutoff: how many documents are the top.
        persistence: of rank-biased overlap.
        qrels: judgements, of people or of a model; None for none. Measures are means over all judged queries,
            as everywhere (`limrank_evals.measures`): one that was not asked, or found nothing, counts as 0.
        measures: by those, as ir_measures writes them.
        resampling: how intervals and tests are made.
        settings: for the report, as JSON.
        notes: what else to know.

    Raises:
        InputError: no query has candidates, or none of them is judged.
    """
    asked = [query for query in queries if first.get(query.id or "")]
    if not asked:
        raise InputError("the first stage finds nothing for any of the queries: there is nothing to compare")
    warnings = [*notes]
    if empty := len(queries) - len(asked):
        warnings.append(
            f"{number_of(empty, 'query')} {verb_for(empty, 'have')} no candidates: left out of the overlap"
        )
    if short := sum(max(len(first[q.id or ""]), len(second[q.id or ""])) < cutoff for q in asked):
        warnings.append(
            f"{number_of(short, 'query')} {verb_for(short, 'have')} fewer than {cutoff} candidates: "
            f"all of them are compared"
        )
    moved: list[Moved] = []
    same: dict[str, list[float]] = {"first": [], "top": [], "order": []}
    for query in asked:
        name = query.id or ""
        ours, theirs = first[name], second[name]
        shared, rbo = overlap(ours, theirs, cutoff), rank_biased_overlap(ours, theirs, persistence)
        moved.append(Moved(name, query.text, rbo, shared, ours[0], theirs[0]))
        same["first"].append(float(ours[0] == theirs[0]))
        same["top"].append(float(shared == 1))
        same["order"].append(float(ours[:cutoff] == theirs[:cutoff]))
    values = {
        "same first document": same["first"],
        f"same documents in the first {cutoff}": same["top"],
        f"same order of the first {cutoff}": same["order"],
        f"overlap of the first {cutoff}": [query.overlap for query in moved],
        f"rank-biased overlap (p = {persistence:g})": [query.rbo for query in moved],
    }
    alike = {name: mean for name, each in values.items() if (mean := resampling.mean(each)) is not None}
    comparisons: Mapping[str, Comparison] = {}
    if qrels is not None:
        one, other = (measure(ranked, qrels, measures) for ranked in (first, second))
        warnings += dict.fromkeys((*one.coverage.warnings(), *one.warnings, *other.warnings))
        comparisons = compare(one, other, resampling)
    return AbReport(
        tuple(sorted(moved, key=lambda query: (query.rbo, query.query))),
        alike,
        comparisons,
        settings,
        tuple(warnings),
    )


def write_ab(folder: Path, report: AbReport, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the runs by their files' names, the report and its tables, each all or nothing."""
    for name, records in runs.items():
        write_run(folder / name, records)
    write_json(folder / "report.json", report.as_json())
    text = "\n".join(grid.markdown() for grid in ab_grids(report, most=len(report.moved)))
    write_whole(folder / "table.md", text.encode("utf-8", "backslashreplace"))


def ab_grids(report: AbReport, *, most: int) -> list[Grid]:
    """The tables: how alike the rankings are, the judged measures, and the queries that move most."""
    interval = f"{level_text(report.settings['level'])} interval"
    rows = [[name, value_text(mean.mean), ends_text(mean.interval)] for name, mean in report.alike.items()]
    grids = [Grid([f"over {number_of(len(report.moved), 'query')}", "mean", interval], rows)]
    if report.comparisons:
        heads = ["measure", "A", "B", "B - A", interval, "p (rand.)", "B won/tied/lost", "queries"]
        rows = [
            [
                name,
                value_text(one.first),
                value_text(one.second),
                value_text(one.difference, signed=True),
                ends_text(one.interval, signed=True),
                value_text(one.randomisation_p),
                "/".join(map(str, one.record)),
                f"{one.queries:,}",
            ]
            for name, one in report.comparisons.items()
        ]
        grids.append(Grid(heads, rows))
    rows = [_moved_row(query, report.comparisons) for query in report.moved[:most] if query.rbo < 1]
    if rows:
        heads = ["RBO", "overlap", *report.comparisons, "first of A", "first of B", "queries that move most"]
        grids.append(Grid(heads, rows))
    return grids


def _moved_row(query: Moved, comparisons: Mapping[str, Comparison]) -> list[str]:
    differences = []
    for one in comparisons.values():
        known = {change.query: change.difference for change in one.changes}
        differences.append(value_text(known.get(query.query), signed=True))
    best = [shortened(document, 28) for document in (query.first, query.second)]
    text = f"{shortened(query.query, 20)}: {shortened(query.text, 60)}"
    return [value_text(query.rbo), value_text(query.overlap), *differences, *best, text]
