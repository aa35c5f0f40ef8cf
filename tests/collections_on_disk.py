"""The real collections named by LIMRANK_DATA: where they are, what is in them, what is measured."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from limrank_plugins import Document, Query, Ranking
from limrank_plugins.files import read_lines
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.qrels import read_qrels

Run = dict[str, dict[str, float]]


def folder() -> Path:
    """The folder, or a skip that says how to name it."""
    named = os.environ.get("LIMRANK_DATA")
    if not named:
        pytest.skip("LIMRANK_DATA is not set: make check-data DATA=folder")
    return Path(named)


@dataclass(frozen=True)
class Collection:
    """A corpus, its judged queries and the judgements."""

    documents: list[Document]
    queries: list[Query]
    qrels: dict[str, dict[str, int]]


def load(name: str) -> Collection:
    """A collection in BEIR's layout, with the queries that have judgements."""
    place = folder() / name
    (asked,) = place.glob("queries.jsonl*")
    qrels = read_qrels(place / "qrels.trec")
    queries = [query for query in read_queries(asked) if query.id in qrels]
    assert queries, f"{place} has no judged queries"
    return Collection(list(read_documents(place / "corpus.jsonl.gz")), queries, qrels)


def expected(collection: str, model: str) -> dict[str, float]:
    """What Anserini publishes for a collection and a model, by measure."""
    file = folder() / "peer_scores" / "anserini_expected.jsonl"
    rows: list[dict[str, Any]] = [json.loads(line) for _, line in read_lines(file)]
    (row,) = [row for row in rows if (row["collection"], row["model"]) == (collection, model)]
    return {measure: values[0] for measure, values in row["results"].items()}


def as_run(queries: Iterable[Query], found: Iterable[Sequence[Document]]) -> Run:
    """First-stage results as a run; the scores are the ranks counted backwards, so that ties stay put."""
    return {
        query.id: {hit.id or "": float(len(hits) - place) for place, hit in enumerate(hits)}
        for query, hits in zip(queries, found, strict=True)
    }


def ranked_run(rankings: Iterable[Ranking]) -> Run:
    """Rankings as a run."""
    return {r.query.id: dict(zip(r.ids, r.run_scores(), strict=True)) for r in rankings}


def measured(collection: Collection, run: Run, *measures: Any) -> list[float]:
    """The mean of each measure over the judged queries; a query without results counts as 0."""
    import ir_measures

    found = ir_measures.calc_aggregate(list(measures), collection.qrels, run)
    return [float(found[measure]) for measure in measures]
