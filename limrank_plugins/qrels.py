"""Relevance judgements as files: TREC's columns, BEIR's table, and tables with other usual names."""

from __future__ import annotations

import csv
import os
import re
from typing import NamedTuple

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines

_LONGEST_GRADE = 9
_WHOLE = re.compile(r"(?<=[0-9])\.0+\Z")  # of a grade that a table of floats held: "1.0"
_QRELS_HEADER = ("query-id", "corpus-id", "score")
_QRELS_NAMES = (
    {"query-id", "query_id", "queryid", "qid", "q_id", "query", "topic"},
    {"corpus-id", "corpus_id", "doc_id", "docid", "doc-id", "document_id", "docno", "pid", "p_id"},
    {"score", "grade", "relevance", "rel", "label", "judgment", "judgement"},
)


def read_qrels(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Judgements by query and document: TREC's `query 0 document grade`, or a table under a line of names.

    The table is BEIR's (`query-id`, `corpus-id`, `score`, tabs between), or has other usual names in any
    order, and tabs or commas between. Grades are whole numbers; `1.0` is one, too.

    Raises:
        InputError: a wrong number of columns, a grade that is no whole number, a document judged twice.
    """
    grades: dict[str, dict[str, int]] = {}
    table: _QrelsTable | None = None
    for place, (number, line) in enumerate(read_lines(path)):
        where = f"{path}, line {number}"
        if place == 0 and (table := _qrels_table(line)) is not None:
            continue
        if table is not None:
            columns = table.cells(line)
            if len(columns) != table.width:
                raise InputError(
                    f"{where}: expected {table.width} columns with {table.between} between, but got "
                    f"{len(columns)}: {line[:80]!r}"
                )
            columns = [columns[index] for index in table.places]
        else:
            columns = line.split()
            if len(columns) != 4:
                beir = f"; BEIR's table of 3 begins with its header line `{' '.join(_QRELS_HEADER)}`"
                raise InputError(
                    f"{where}: a qrels line has 4 columns, but this has {len(columns)}: {line[:80]!r}"
                    f"{beir if len(columns) == 3 else ''}"
                )
        add_judgement(grades, columns[0], columns[-2], columns[-1].strip(), where)
    return grades


class _QrelsTable(NamedTuple):
    """What the line of names of a table of judgements says: what is between, and where the columns are."""

    delimiter: str
    width: int
    places: tuple[int, int, int]

    @property
    def between(self) -> str:
        return "tabs" if self.delimiter == "\t" else "commas"

    def cells(self, line: str) -> list[str]:
        return line.split("\t") if self.delimiter == "\t" else next(csv.reader([line]))


def _qrels_table(line: str) -> _QrelsTable | None:
    names = line.lower().split()
    if tuple(names) == _QRELS_HEADER:
        return _QrelsTable("\t", 3, (0, 1, 2))  # whatever is between the names themselves
    for delimiter in "\t,":
        names = [name.strip().strip('"') for name in line.lower().split(delimiter)]
        places = [[place for place, name in enumerate(names) if name in known] for known in _QRELS_NAMES]
        if all(len(found) == 1 for found in places):
            return _QrelsTable(delimiter, len(names), (places[0][0], places[1][0], places[2][0]))
    return None


def add_judgement(
    grades: dict[str, dict[str, int]], query: str, document: str, grade: object, where: str
) -> None:
    """Put one judgement among the others.

    Raises:
        InputError: a grade that is no whole number, or a document judged before.
    """
    text = str(int(grade) if isinstance(grade, float) and grade.is_integer() else grade)
    text = _WHOLE.sub("", text)
    if not text.removeprefix("-").isdecimal():
        raise InputError(f"{where}: the grade must be a whole number, but is {grade!r}")
    if len(text) > _LONGEST_GRADE:
        raise InputError(f"{where}: the grade has {len(text)} digits; {_LONGEST_GRADE} are read at most")
    if document in grades.setdefault(query, {}):
        raise InputError(f"{where}: document {document!r} is judged twice for query {query!r}")
    grades[query][document] = int(text)
