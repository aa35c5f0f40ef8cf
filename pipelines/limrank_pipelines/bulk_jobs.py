"""A job of reranking in bulk: a query and its passages, one line of a JSONL file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.data import Document, Query, as_documents
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_line, parse_json
from limrank_plugins.outputs import write_parts
from limrank_plugins.wording import shortened

_JOB = ("query_id", "query", "instruction", "passages")
_PASSAGE = ("id", "title", "text", "score")

Job = tuple[Query, list[Document]]


def parse_job(line: bytes, where: str) -> Job:
    """A job from its line.

    Args:
        line: JSON with `query_id`, `query`, perhaps `instruction`, and `passages`, each with `id`, `text` and
            perhaps `title` and `score` (the first stage's).
        where: the beginning of messages about it.

    Raises:
        InputError: it is not that.
    """
    row = parse_json(line, where)
    if not isinstance(row, dict) or not isinstance(row.get("passages"), list):
        raise InputError(f"{where}: a job is an object with 'query_id', 'query' and a list of 'passages'")
    try:
        _check_fields("a job", row, _JOB)
        query = Query(row.get("query", ""), str(row.get("query_id", "")), row.get("instruction") or "")
        if not query.id:
            raise InputError("no 'query_id'")
        return query, as_documents([_passage(entry) for entry in row["passages"]])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def job_line(query: Query, documents: Sequence[Document]) -> bytes:
    """The line that `parse_job` reads; images cannot be written.

    Raises:
        InputError: the query or a document has images.
    """
    if query.images or any(document.images for document in documents):
        raise InputError(f"query {query.id!r}: jobs cannot hold images; use limrank rerank")
    passages = [
        {"id": d.id, "text": d.text}
        | ({"title": d.title} if d.title else {})
        | ({} if d.prior is None else {"score": d.prior})
        for d in documents
    ]
    row: dict[str, Any] = {"query_id": query.id, "query": query.text, "passages": passages}
    if query.instruction:
        row["instruction"] = query.instruction
    return json_line(row).encode("utf-8")


def write_jobs(path: Path, jobs: Iterable[tuple[Query, Sequence[Document]]]) -> None:
    """Write a file of jobs, whole or not at all."""
    write_parts(path, (job_line(query, documents) for query, documents in jobs))


def _check_fields(owner: str, fields: Iterable[str], known: Sequence[str]) -> None:
    """Raise an `InputError` for a field that would not be read: a misspelt one would be as if left out."""
    for name in fields:
        if name not in known:
            raise InputError(f"{owner} has no field {shortened(repr(name))}; there are: {', '.join(known)}")


def _passage(entry: Any) -> Document:
    if not isinstance(entry, dict) or "id" not in entry or "text" not in entry:
        raise InputError(f"a passage is an object with 'id' and 'text', but got {str(entry)[:80]!r}")
    _check_fields(f"passage {shortened(repr(entry['id']))}", entry, _PASSAGE)
    score = entry.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise InputError(
            f"the score of passage {entry['id']!r} must be a number, but is {shortened(repr(score))}"
        )
    return Document(entry["text"], id=str(entry["id"]), title=entry.get("title") or "", prior=score)
