"""Judgements: TREC's qrels, and the table BEIR keeps in `qrels/*.tsv`."""

from __future__ import annotations

import os

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines
from limrank_plugins.io import read_qrels

Qrels = dict[str, dict[str, int]]
"""For every query its judged documents and their grades; 0 and below is not relevant."""

_HEADER = ("query-id", "corpus-id", "score")


def read_judgements(path: str | os.PathLike[str]) -> Qrels:
    """Judgements from TREC's `query 0 document grade`, or BEIR's `query document grade` under a header.

    Raises:
        InputError: a file with no judgement, a wrong number of columns, a grade that is no whole
            number, a document judged twice for one query. It names the line.
    """
    first = next((line for _, line in read_lines(path)), None)
    if first is None:
        raise InputError(f"{path} holds no judgements")
    return _read_table(path) if tuple(first.split()) == _HEADER else read_qrels(path)


def _read_table(path: str | os.PathLike[str]) -> Qrels:
    grades: Qrels = {}
    lines = read_lines(path)
    next(lines)
    for number, line in lines:
        where, columns = f"{path}, line {number}", line.split("\t")
        if len(columns) != 3:
            raise InputError(
                f"{where}: expected 3 columns with tabs between, but got {len(columns)}: {line[:80]!r}"
            )
        query, document, grade = columns
        add_judgement(grades, query, document, grade.strip(), where)
    if not grades:
        raise InputError(f"{path} holds no judgements, only a header")
    return grades


def add_judgement(grades: Qrels, query: str, document: str, grade: object, where: str) -> None:
    """Put one judgement among the others.

    Raises:
        InputError: a grade that is no whole number, or a document judged before.
    """
    try:
        value = int(str(grade))
    except ValueError:
        raise InputError(f"{where}: the grade must be a whole number, but is {grade!r}") from None
    known = grades.setdefault(query, {})
    if document in known:
        raise InputError(f"{where}: document {document!r} is judged twice for query {query!r}")
    known[document] = value


def relevant(qrels: Qrels, query: str) -> list[str]:
    """A query's relevant documents, in the order of its judgements."""
    return [document for document, grade in qrels.get(query, {}).items() if grade > 0]
