r"""Collections, queries and runs as files: BEIR's JSONL and TREC's columns, plain or gzipped.

Lines end at "\n" alone (MS MARCO's texts hold U+0085). Whatever is wrong with a file is one
`InputError` that names the file, the line and the fix; nothing is skipped.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.data import Document, Query, Ranking, check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, lines_and_kind, read_lines
from limrank_plugins.images import read_images
from limrank_plugins.outputs import write_json_lines, write_whole
from limrank_plugins.segments import CONTROLS
from limrank_plugins.wording import shortened

INCOMPLETE = "-incomplete"
"""How the tag of a run ends in which documents could not be judged."""

_LONGEST_GRADE = 9
_QRELS_HEADER = ("query-id", "corpus-id", "score")


@dataclass(slots=True)
class RunState:
    """What a run says of itself beside its lines.

    Attributes:
        failures: documents that a reranker could not judge; only JSON lines tell them.
        is_unfinished: the tag of a TREC run says that there are some.
    """

    failures: int = 0
    is_unfinished: bool = False


class Candidate(NamedTuple):
    """One line of a run: a document a first stage found, with its score."""

    document_id: str
    score: float


# ---- reading ------------------------------------------------------------------------------------


def read_documents(path: str | os.PathLike[str]) -> Iterator[Document]:
    """Documents of a JSONL file with `_id` (or `id`), `text` and perhaps `title`, as in BEIR.

    `images` is a list of image files in its folder or below. Other fields go into `Document.meta`.
    """
    seen: set[str] = set()
    for where, row in json_rows(path):
        identifier = _identifier(row, where)
        _no_repeat(identifier, seen, where, "document")
        title = row.pop("title", None)
        text = _text(row, "text", where)
        if title is not None and not isinstance(title, str):
            raise InputError(f"{where}: 'title' must be a string, but is {title!r}")
        images = read_images(row.pop("images", None), path, where)
        yield Document(text=text, id=identifier, title=title or "", meta=row, images=images)


def read_queries(path: str | os.PathLike[str]) -> list[Query]:
    """Queries of a JSONL file (`_id`, `text`, perhaps `instruction`, `images`) or a `.tsv` (id and text).

    Of a pipe, the first line tells which of the two it is; so it does for runs.
    """
    queries: list[Query] = []
    seen: set[str] = set()
    lines, is_json = lines_and_kind(path, not _ends(path, ".tsv"))
    if not is_json:
        for number, line in lines:
            identifier, tab, text = line.partition("\t")
            where = f"{path}, line {number}"
            if not tab:
                raise InputError(f"{where}: expected an id, a tab and a query, but got {line[:80]!r}")
            _no_repeat(identifier, seen, where, "query")
            queries.append(_query(where, text, identifier))
    else:
        for where, row in json_rows(path, lines):
            identifier = _identifier(row, where)
            _no_repeat(identifier, seen, where, "query")
            text, images = _text(row, "text", where), read_images(row.get("images"), path, where)
            queries.append(_query(where, text, identifier, row.get("instruction") or "", images))
    if not queries:
        raise InputError(f"{path} holds no queries")
    return queries


def read_run(path: str | os.PathLike[str]) -> dict[str, list[Candidate]]:
    """A first stage's candidates by query, best first.

    TREC (`query Q0 document rank score tag`) or, for `.jsonl`, what `write_run` writes. Sorted by
    score; equal scores keep their rank column's order, then the file's.

    Raises:
        InputError: a wrong number of columns, a score that is not a finite number, a document twice.
    """
    rows_of: dict[str, list[tuple[float, float, str]]] = {}
    for _, query, document, rank, score in run_rows(path):
        rows_of.setdefault(query, []).append((-score, rank, document))
    for query, rows in rows_of.items():
        check_unique([d for _, _, d in rows], f"document id of query {query!r} in {path}")
        rows.sort(key=lambda row: row[:2])
    return {query: [Candidate(d, -score) for score, _, d in rows] for query, rows in rows_of.items()}


def read_qrels(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Judgements by query and document: TREC's `query 0 document grade`, or BEIR's table under its header."""
    grades: dict[str, dict[str, int]] = {}
    header: tuple[str, ...] | None = None
    for number, line in read_lines(path):
        where, columns = f"{path}, line {number}", line.split()
        if header is None:
            header = tuple(columns)
            if header == _QRELS_HEADER:
                continue
        if header == _QRELS_HEADER:
            columns = line.split("\t")
            if len(columns) != 3:
                raise InputError(
                    f"{where}: expected 3 columns with tabs between, but got {len(columns)}: {line[:80]!r}"
                )
        elif len(columns) != 4:
            table = f"; BEIR's table of 3 begins with its header line `{' '.join(_QRELS_HEADER)}`"
            raise InputError(
                f"{where}: a qrels line has 4 columns, but this has {len(columns)}: {line[:80]!r}"
                f"{table if len(columns) == 3 else ''}"
            )
        add_judgement(grades, columns[0], columns[-2], columns[-1].strip(), where)
    return grades


def add_judgement(
    grades: dict[str, dict[str, int]], query: str, document: str, grade: object, where: str
) -> None:
    """Put one judgement among the others.

    Raises:
        InputError: a grade that is no whole number, or a document judged before.
    """
    text = str(int(grade) if isinstance(grade, float) and grade.is_integer() else grade)
    if not text.removeprefix("-").isdecimal():
        raise InputError(f"{where}: the grade must be a whole number, but is {grade!r}")
    if len(text) > _LONGEST_GRADE:
        raise InputError(f"{where}: the grade has {len(text)} digits; {_LONGEST_GRADE} are read at most")
    if document in grades.setdefault(query, {}):
        raise InputError(f"{where}: document {document!r} is judged twice for query {query!r}")
    grades[query][document] = int(text)


def run_rows(
    path: str | os.PathLike[str], state: RunState | None = None
) -> Iterator[tuple[str, str, str, float, float]]:
    """A run's place, query, document, rank and score, in the file's order; raises like `read_run`.

    Args:
        path: the file.
        state: is told what the run says of itself; complete once all rows have been read.
    """
    state = RunState() if state is None else state
    lines, is_json = lines_and_kind(path, holds_json_lines(path))
    if is_json:
        seen: set[str] = set()
        for where, row in json_rows(path, lines):
            hits = row.get("hits")
            if not isinstance(row.get("query_id"), str) or not isinstance(hits, list):
                raise InputError(f"{where}: expected 'query_id' and 'hits', as `limrank rerank` writes them")
            _no_repeat(row["query_id"], seen, where, "query")
            failures = row.get("failures")
            state.failures += len(failures) if isinstance(failures, list) else 0
            for position, hit in enumerate(hits):
                if not isinstance(hit, dict) or not isinstance(hit.get("id"), str):
                    raise InputError(f"{where}: hit {position} has no 'id'")
                # A hit's own score may be None (failed, or a method without scores): the order counts.
                yield where, row["query_id"], hit["id"], position + 1.0, float(len(hits) - position)
        return
    for number, line in lines:
        where, columns = f"{path}, line {number}", line.split()
        if len(columns) != 6:
            raise InputError(
                f"{where}: a run line has 6 columns (query Q0 document rank score tag), but this "
                f"has {len(columns)}: {line[:80]!r}"
            )
        state.is_unfinished = state.is_unfinished or columns[5].endswith(INCOMPLETE)
        score, rank = _finite(columns[4], "score", where), _finite(columns[3], "rank", where)
        yield where, columns[0], columns[2], rank, score


def _identifier(row: dict[str, Any], where: str) -> str:
    for key in ("_id", "id"):
        if key in row:
            value = row.pop(key)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                raise InputError(f"{where}: {key!r} must be a string that is not empty, but is {value!r}")
            return str(value)
    raise InputError(f"{where}: no '_id'; the fields are {sorted(row)}")


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.pop(key, None)
    if not isinstance(value, str):
        raise InputError(f"{where}: {key!r} must be a string, but is {value!r}")
    return value


def _no_repeat(identifier: str, seen: set[str], where: str, what: str) -> None:
    if identifier in seen:
        raise InputError(f"{where}: {what} id {identifier!r} was there before; every id must be unique")
    seen.add(identifier)


def _finite(value: str, what: str, where: str) -> float:
    with suppress(ValueError):
        if math.isfinite(number := float(value)):
            return number
    raise InputError(f"{where}: the {what} must be a finite number, but is {shortened(value)!r}")


def _query(where: str, *parts: Any) -> Query:
    try:
        return Query(*parts)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _ends(path: str | os.PathLike[str], ending: str) -> bool:
    return os.fspath(path).removesuffix(".gz").endswith(ending)


# ---- writing ------------------------------------------------------------------------------------


def ranking_record(ranking: Ranking) -> dict[str, Any]:
    """A ranking as JSON: what happened to every document, without the texts and the cost."""
    return {
        "query_id": ranking.query.id,
        "recipe": ranking.recipe,
        "score_kind": ranking.score_kind,
        "comparable": ranking.comparable,
        "failures": [{"id": failure.id, "reason": failure.reason} for failure in ranking.failures],
        "repairs": ranking.repairs,
        "query_cut_tokens": ranking.query_cut_tokens,
        "hits": [
            {
                "id": hit.id,
                "rank": hit.rank,
                "score": hit.score,
                "explanation": hit.explanation,
                "failure": hit.failure,
                "cut_tokens": hit.cut_tokens,
                **({} if hit.piece is None else {"piece": asdict(hit.piece)}),
            }
            for hit in ranking.hits
        ],
    }


def check_trec_ids(ids: Iterable[str], what: str) -> None:
    """Raise an `InputError` for an identifier that no column of a TREC file can hold.

    It is empty, or holds white space or a control character (which a terminal would act on).
    """
    for identifier in ids:
        if identifier.split() != [identifier] or CONTROLS.search(identifier):
            raise InputError(
                f"{what} {identifier!r} is empty or holds white space or a control character, which a TREC "
                f"file cannot: write .jsonl, or rename it"
            )


def holds_json_lines(path: str | os.PathLike[str]) -> bool:
    """Whether a run of this name holds a JSON record a line; any other is TREC's."""
    return _ends(path, ".jsonl")


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a run does."""
    try:
        return next(iter(run_rows(path)), None) is not None
    except InputError:
        return False


def write_run(
    path: str | os.PathLike[str], records: Sequence[Mapping[str, Any]], *, tag: str = "limrank"
) -> None:
    """Write rankings, all or nothing: a file that is there is replaced only by a whole one.

    `.jsonl` holds one `ranking_record` a line; anything else is TREC, whose scores are the ranks
    counted backwards: trec_eval orders equal scores by document id, and reasoning scores are often
    equal. White space in the tag becomes "-". `.gz` compresses either.
    """
    path = Path(path)
    if holds_json_lines(path):
        write_json_lines(path, records)
        return
    check_trec_ids((record["query_id"] for record in records), "query id")
    check_trec_ids((hit["id"] for record in records for hit in record["hits"]), "document id")
    tag = "-".join(CONTROLS.sub(" ", tag).split())  # a recipe's options may hold a space, a column may not
    lines = [
        f"{record['query_id']} Q0 {hit['id']} {rank} {len(record['hits']) - rank + 1} {tag}\n"
        for record in records
        for rank, hit in enumerate(record["hits"], start=1)
    ]
    write_whole(path, "".join(lines).encode("utf-8", "backslashreplace"))
