"""report.json: everything the page's tables and plots are drawn from. docs/reports.md has the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import Result
from limrank_evals.reporting.facts import warnings
from limrank_evals.reporting.headline import beside
from limrank_evals.reporting.query_outcomes import QueryOutcome
from limrank_evals.reporting.text_policy import LEVELS, TextPolicy, clean
from limrank_plugins import __version__

SCHEMA = "limrank report 1"


def report_json(
    evaluated: Sequence[SplitEvaluation],
    queries: Sequence[Sequence[QueryOutcome]],
    means: Sequence[Result],
    *,
    show_gated: bool = False,
) -> str:
    """The report for machines. Every document's place is in the runs beside it.

    Args:
        evaluated: the splits.
        queries: of each of them, see `limrank_evals.reporting.query_outcomes`.
        means: over splits, see `limrank_evals.reporting.averages`.
        show_gated: write the texts of gated sets instead of hashes.
    """
    ours = [*(result for split in evaluated for result in split.results), *means]
    report = {
        "schema": SCHEMA,
        "version": __version__,
        "warnings": [{"split": where, "text": text} for where, text in warnings(evaluated)],
        "splits": [_split(split, rows, show_gated) for split, rows in zip(evaluated, queries, strict=True)],
        "means": [mean.as_json() for mean in means],
        "published": [result.as_json() for result in beside(ours)],
    }
    return clean(json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False)) + "\n"


def _split(split: SplitEvaluation, rows: Sequence[QueryOutcome], show_gated: bool) -> dict[str, Any]:
    benchmark, hidden = split.benchmark, split.gated and not show_gated
    showing = TextPolicy(hidden, LEVELS[0])
    return {
        "benchmark": benchmark.name,
        "split": benchmark.split,
        "licence": benchmark.licence,
        "judgements": benchmark.variant,
        "gated": split.gated,
        "texts": "hashes" if hidden else "shown",
        "measures": list(split.measures),
        "results": [result.as_json() for result in split.results],
        "counts": {
            "first": split.first.counts(),
            "reranked": None if split.reranked is None else split.reranked.counts(),
        },
        "comparisons": {name: comparison.as_json() for name, comparison in split.comparisons.items()},
        "failures": split.failures,
        **split.unread.as_json(),
        "queries": [_query(row, showing) for row in rows],
    }


def _query(row: QueryOutcome, showing: TextPolicy) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": showing.whole(row.text),
        "instruction": showing.whole(row.instruction),
        "values": {name: _values(*both) for name, both in row.values.items()},
        "relevant": [
            {"id": m.document, "grade": m.grade, "before": m.before, "after": m.after, "score": m.score}
            for m in row.moves
            if m.relevant
        ],
        "failures": [
            {"id": move.document, "reason": showing.failure(move.failure)}
            for move in row.moves
            if move.failure is not None
        ],
        "repairs": row.repairs,
    }


def _values(first: float | None, reranked: float | None) -> Mapping[str, float | None]:
    return {"first": first, "reranked": reranked}
