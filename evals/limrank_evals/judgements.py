"""Judgements: TREC's qrels, and the table BEIR keeps in `qrels/*.tsv`; those of a model are marked as such.

The second column of a TREC file, which all tools read past, says `model`: it stays when the file is copied. A
table has no such column: `judge.json` beside it says so, and which model it was.
"""

from __future__ import annotations

import os
from pathlib import Path

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json, read_lines
from limrank_plugins.qrels import read_qrels
from limrank_plugins.segments import CONTROLS

Qrels = dict[str, dict[str, int]]
"""For every query its judged documents and their grades; 0 and below is not relevant."""

BY_MODEL = "model"
MARK = "judge.json"
MARK_SCHEMA = "limrank judgements 1"


def read_judgements(path: str | os.PathLike[str]) -> Qrels:
    """The judgements of a file, as `limrank_plugins.qrels.read_qrels` reads them.

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


def judgement_lines(qrels: Qrels, *, in_columns: bool, by_model: bool = False) -> bytes:
    """Judgements as they are written.

    Args:
        qrels: by query and document.
        in_columns: TREC's four columns, which hold no white space; else BEIR's table.
        by_model: a model's, which the columns say.
    """
    if in_columns:
        mark = BY_MODEL if by_model else "0"
        lines = [f"{q} {mark} {d} {grade}\n" for q, grades in qrels.items() for d, grade in grades.items()]
    else:
        lines = ["query-id\tcorpus-id\tscore\n"]
        rows = [(q, d, grade) for q, grades in qrels.items() for d, grade in grades.items()]
        lines += [f"{_column(q)}\t{_column(d)}\t{grade}\n" for q, d, grade in rows]
    return "".join(lines).encode("utf-8", "backslashreplace")


def about_judgements(path: str | os.PathLike[str]) -> list[str]:
    """What a reader of numbers must know of who judged: nothing of people's, a sentence of a model's."""
    file = Path(path)
    name = _marked(file)
    if name is None and not _says_model(file):
        return []
    return [f"the judgements in {file} are a model's{f' ({name})' if name else ''}, not people's"]


def _says_model(file: Path) -> bool:
    if not file.is_file():  # a pipe is read once
        return False
    columns = next((line.split() for _, line in read_lines(file)), [])
    return len(columns) == 4 and columns[1] == BY_MODEL


def _marked(file: Path) -> str | None:
    """The model that the mark beside a file names; None where there is none, or it is of another file."""
    mark = file.parent / MARK
    if not mark.is_file():
        return None
    held = read_json(mark)
    if not isinstance(held, dict) or held.get("schema") != MARK_SCHEMA or held.get("qrels") != file.name:
        return None
    return str(held.get("model") or "its name is not known")


def _column(identifier: str) -> str:
    """The id with escapes for what would end a column or a line, or make a terminal act."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", identifier)
