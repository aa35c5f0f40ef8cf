"""A teacher's scores beside training rows: of any recipe that scores, or of a file that has them already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limrank_plugins.checks import finite_number
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.fields import ID_FIELDS, QUERY_ID_FIELDS
from limrank_plugins.files import json_rows
from limrank_plugins.io import holds_json_lines, run_rows
from limrank_plugins.retrievers import build_retriever, takes_language
from limrank_training.data.passage_rows import SCORES, passage_row
from limrank_training.data.row_fields import read_rows, text_field


@dataclass(frozen=True, slots=True)
class UnscoredRow:
    """A training row before a teacher has seen it.

    Attributes:
        row: all its columns, but those of an earlier teacher.
        where: file and line, for messages.
    """

    row: dict[str, Any]
    where: str


def read_unscored(path: str | os.PathLike[str]) -> list[UnscoredRow]:
    """The rows of a file, checked as training will check them; scores that they have are left out.

    Raises:
        InputError: a row that could not be trained on; its line is named.
    """
    rows = []
    for where, row in read_rows(path):
        plain = {name: value for name, value in row.items() if name not in SCORES}
        passage_row(plain | {"score": 0.0}, where, traces=False, scores=True)
        rows.append(UnscoredRow(plain, where))
    return rows


# ---- lists for a reranker -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueryRows:
    """A query with its passages, as a reranker is given them.

    Attributes:
        query: with the id of its first row, or the text itself where rows have none.
        documents: the passages in the file's order; their ids count them.
        rows: of each document, its place in the file's rows.
    """

    query: Query
    documents: tuple[Document, ...]
    rows: tuple[int, ...]


def query_rows(rows: Sequence[UnscoredRow]) -> list[QueryRows]:
    """The rows of each query together, wherever in the file they stand: some teachers compare passages."""
    places: dict[str, list[int]] = {}
    for place, unscored in enumerate(rows):
        places.setdefault(unscored.row["query"], []).append(place)
    return [
        QueryRows(
            Query(text, text_field(rows[own[0]].row, "query_id", rows[own[0]].where) or text),
            tuple(_document(rows[place].row, number) for number, place in enumerate(own)),
            tuple(own),
        )
        for text, own in places.items()
    ]


def with_priors(queries: Sequence[QueryRows], retriever: str, language: str) -> list[QueryRows]:
    """The same with a first stage's scores, which searches all passages of the file for each query.

    A passage that it does not find keeps none.

    Args:
        queries: see `query_rows`.
        retriever: the first stage's name.
        language: of the passages.

    Raises:
        InputError: as for `build_retriever`.
    """
    texts = {(d.title, d.text): None for query in queries for d in query.documents}
    corpus = [Document(text, str(number), title) for number, (title, text) in enumerate(texts)]
    options = {"language": language} if takes_language(retriever) else {}
    index = build_retriever(retriever, corpus, **options)
    priors = []
    for query, ranked in zip(
        queries, index.search_many([query.query for query in queries], len(corpus)), strict=True
    ):
        scores = {(d.title, d.text): d.prior for d in ranked}
        documents = (replace(d, prior=scores.get((d.title, d.text))) for d in query.documents)
        priors.append(replace(query, documents=tuple(documents)))
    return priors


def scores_of_rows(queries: Sequence[QueryRows], records: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """By place in the file, the score of each row that has one.

    Args:
        queries: see `query_rows`.
        records: the `ranking_record` of each query.

    Raises:
        InputError: the reranker orders passages without scores.
    """
    scores: dict[int, float] = {}
    for query, record in zip(queries, records, strict=True):
        failed = {failure["id"] for failure in record["failures"]}
        for hit in record["hits"]:
            if hit["id"] in failed:
                continue
            if hit["score"] is None:
                raise no_scores(record["recipe"])
            scores[query.rows[int(hit["id"])]] = float(hit["score"])
    return scores


def no_scores(recipe: str) -> InputError:
    """What is said of a recipe that orders passages without scores."""
    return InputError(
        f"recipe {recipe!r} puts passages in order and gives them no scores, so there is nothing to distil: "
        f"choose one with scores, such as mini, cross-encoder, limrank or fuse"
    )


def _document(row: Mapping[str, Any], number: int) -> Document:
    return Document(row["passage"], str(number), row.get("title") or "")


# ---- scores of a file ---------------------------------------------------------------------------


def read_scores(path: str | os.PathLike[str]) -> dict[tuple[str, str], float]:
    """The scores of a file by query id and passage id.

    The file is a TREC run (`query Q0 passage rank score tag`), or for `.jsonl` either what `limrank rerank`
    writes (`query_id`, and `hits` with `id` and `score`), or rows of `query_id`, `id` and `score`.

    Raises:
        InputError: a line that is not so, a score that is no finite number, or a passage twice for a query.
    """
    scores: dict[tuple[str, str], float] = {}

    def add(query: str, passage: str, score: float, where: str) -> None:
        if (query, passage) in scores:
            raise InputError(f"{where}: passage {passage!r} of query {query!r} has a score already")
        scores[query, passage] = score

    if holds_json_lines(path):
        for where, row in json_rows(path):
            for query, passage, score in _json_scores(row, where):
                add(query, passage, score, where)
    else:
        for where, query, passage, _, score in run_rows(path):
            add(query, passage, score, where)
    if not scores:
        raise InputError(f"{os.fspath(path)} holds no scores")
    return scores


def joined(rows: Sequence[UnscoredRow], scores: Mapping[tuple[str, str], float]) -> dict[int, float]:
    """By place in the file, the score of each row whose `query_id` and `id` the scores name.

    Raises:
        InputError: a row without these columns, or no row has a score.
    """
    known: dict[int, float] = {}
    for place, unscored in enumerate(rows):
        names = []
        for column in ("query_id", "id"):
            name = text_field(unscored.row, column, unscored.where)
            if not name:
                raise InputError(
                    f"{unscored.where}: no {column!r}, by which a score is looked up: rows need 'query_id' "
                    f"and 'id', or a teacher that is a recipe"
                )
            names.append(name)
        score = scores.get((names[0], names[1]))
        if score is not None:
            known[place] = score
    if not known:
        query, passage = next(iter(scores))
        raise InputError(
            f"no row has a score: the rows' first ids are {rows[0].row['query_id']!r} and "
            f"{rows[0].row['id']!r}, those of the scores {query!r} and {passage!r}"
        )
    return known


def _json_scores(row: dict[str, Any], where: str) -> list[tuple[str, str, float]]:
    hits = row.get("hits", [row])
    if not isinstance(hits, list) or not all(isinstance(hit, dict) for hit in hits):
        raise InputError(f"{where}: 'hits' must be a list of objects with 'id' and 'score'")
    query = _name(
        row, QUERY_ID_FIELDS if "hits" in row else ("query_id", "qid", "query-id"), where, "query_id"
    )
    return [
        (query, _name(hit, ID_FIELDS, where, "id"), finite_number(f"{where}: 'score'", hit.get("score")))
        for hit in hits
        if "hits" not in row or hit.get("failure") is None
    ]


def _name(row: Mapping[str, Any], names: Sequence[str], where: str, wanted: str) -> str:
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value:
            return value
    raise InputError(f"{where}: no {wanted!r}, a text; the columns are {sorted(row)}")


# ---- writing ------------------------------------------------------------------------------------


def scored_rows(
    rows: Sequence[UnscoredRow], scores: Mapping[int, float], teacher: str
) -> list[dict[str, Any]]:
    """The rows that have a score, in the file's order, with `score` and the `teacher`'s name."""
    return [
        unscored.row | {"score": scores[place], "teacher": teacher}
        for place, unscored in enumerate(rows)
        if place in scores
    ]


def is_scored(path: Path) -> bool:
    """Whether a file begins as scored rows do."""
    try:
        _, row = next(iter(json_rows(path)))
    except (InputError, StopIteration):
        return False
    return row.keys() >= SCORES
