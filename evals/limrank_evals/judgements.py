"""Judgements: TREC's qrels, and the table BEIR keeps in `qrels/*.tsv`."""

from __future__ import annotations

import os

from limrank_plugins.errors import InputError
from limrank_plugins.io import read_qrels

Qrels = dict[str, dict[str, int]]
"""For every query its judged documents and their grades; 0 and below is not relevant."""


def read_judgements(path: str | os.PathLike[str]) -> Qrels:
    """The judgements of a file, as `limrank_plugins.io.read_qrels` reads them.

    Raises:
        InputError: a file with no judgement, a wrong number of columns, a grade that is no whole
            number, a document judged twice for one query. It names the line.
    """
    grades = read_qrels(path)
    if not grades:
        raise InputError(f"{path} holds no judgements")
    return grades


def relevant(qrels: Qrels, query: str) -> list[str]:
    """A query's relevant documents, in the order of its judgements."""
    return [document for document, grade in qrels.get(query, {}).items() if grade > 0]
