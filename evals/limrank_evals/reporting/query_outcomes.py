"""What a report knows of every query: its values before and after, and where every document went.

"Before" is the first stage's list (or the lists that were given), "after" the reranker's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.measures import Measurement
from limrank_evals.pmrr import CHANGED, ORIGINAL
from limrank_plugins.data import Query


@dataclass(frozen=True, slots=True)
class Move:
    """One document of one query.

    Attributes:
        document: its id.
        before, after: its ranks from 1; None where it is not in the list.
        grade: as it was judged; None where it was not.
        score: the reranker's; None where it has none, or was not reranked.
        explanation: the model's reasoning.
        failure: why the reranker could not judge it.
        cut_tokens: tokens of it that the model did not read.
    """

    document: str
    before: int | None
    after: int | None
    grade: int | None
    score: float | None = None
    explanation: str | None = None
    failure: str | None = None
    cut_tokens: int = 0

    @property
    def relevant(self) -> bool:
        """Whether it was judged so: a grade above 0."""
        return self.grade is not None and self.grade > 0


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """One query.

    Attributes:
        id: the query's id.
        query: as the reranker was shown it; None where only its judgements are there.
        values: by measure, before and after; None where the query has no value.
        moves: its documents by rank after (before, where nothing was reranked), then the relevant
            ones that are in neither list.
        repairs: malformed answers that were repaired.
    """

    id: str
    query: Query | None
    values: Mapping[str, tuple[float | None, float | None]]
    moves: tuple[Move, ...]
    repairs: int = 0

    @property
    def text(self) -> str:
        """The query's text; empty where only its judgements are there."""
        return self.query.text if self.query is not None else ""

    @property
    def instruction(self) -> str:
        """What else makes a document relevant."""
        return self.query.instruction if self.query is not None else ""

    @property
    def images(self) -> int:
        """How many images are shown with the query."""
        return len(self.query.images) if self.query is not None else 0

    @property
    def failures(self) -> int:
        """How many of its documents could not be judged."""
        return sum(move.failure is not None for move in self.moves)


def query_outcomes(evaluated: SplitEvaluation) -> list[QueryOutcome]:
    """Every query of a split, in the benchmark's order, then those that are judged but not among them."""
    records = {record["query_id"]: record for record in evaluated.records}
    known = {query.id or "": query for query in evaluated.benchmark.queries}
    strangers = [name for name in evaluated.first.measured.coverage.judged if name not in known]
    return [
        _outcome(evaluated, name, known.get(name), records.get(name, {})) for name in [*known, *strangers]
    ]


def value(measured: Measurement, measure: str, query: str) -> float | None:
    """A query's value; p-MRR has one for each pair of queries, which both sides have."""
    values = measured.per_query[measure]
    pair = query.removesuffix(CHANGED) if query.endswith(CHANGED) else query.removesuffix(ORIGINAL)
    return values.get(query, values.get(pair))


def _outcome(
    evaluated: SplitEvaluation, name: str, query: Query | None, record: Mapping[str, Any]
) -> QueryOutcome:
    last = evaluated.reranked
    values = {
        measure: (
            value(evaluated.first.measured, measure, name),
            None if last is None else value(last.measured, measure, name),
        )
        for measure in evaluated.measures
    }
    before = {d: rank for rank, d in enumerate(evaluated.first.ranked.get(name, ()), start=1)}
    after = {d: rank for rank, d in enumerate(evaluated.last.ranked.get(name, ()), start=1)}
    grades = evaluated.benchmark.qrels.get(name, {})
    hits = {hit["id"]: hit for hit in record.get("hits", ())}
    missing = [d for d, grade in grades.items() if grade > 0 and d not in before and d not in after]
    moves = []
    for document in dict.fromkeys([*after, *before, *missing]):
        hit = hits.get(document, {})
        moves.append(
            Move(
                document,
                before.get(document),
                after.get(document) if last is not None else None,
                grades.get(document),
                hit.get("score"),
                hit.get("explanation"),
                hit.get("failure"),
                hit.get("cut_tokens", 0),
            )
        )
    return QueryOutcome(name, query, values, tuple(moves), record.get("repairs", 0))
