"""The small collection shipped with the package, written for it: see README.md beside this file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from limrank_plugins.data import Document, Query
from limrank_plugins.files import read_lines
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.qrels import read_qrels

_FOLDER = Path(__file__).parent


def corpus_path() -> Path:
    """Where the passages are, as JSONL."""
    return _FOLDER / "corpus.jsonl"


@cache
def documents() -> tuple[Document, ...]:
    """The passages."""
    return tuple(read_documents(corpus_path()))


def queries() -> list[Query]:
    """The queries, without the persona and domain that `query_rows` has."""
    return read_queries(_FOLDER / "queries.jsonl")


def query_rows() -> list[dict[str, Any]]:
    """The queries with `kind` (daily or expert), `domain` and `persona`."""
    return [json.loads(line) for _, line in read_lines(_FOLDER / "queries.jsonl")]


def qrels() -> dict[str, dict[str, int]]:
    """Grades by query and passage: 2 direct, 1 indirect, 0 a hard negative."""
    return read_qrels(_FOLDER / "qrels.txt")


def reasons() -> list[dict[str, Any]]:
    """One line for every verdict: its kind and why."""
    return [json.loads(line) for _, line in read_lines(_FOLDER / "reasons.jsonl")]
