r"""Collections, queries and runs as files: rows (see `tables.py`) and TREC's columns.

Lines end at "\n" alone (MS MARCO's texts hold U+0085). Whatever is wrong with a file is one
`InputError` that names the file, the line and the fix; nothing is skipped unless the caller asks for it.
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
from limrank_plugins.fields import (
    ID_FIELDS,
    QUERY_FIELDS,
    QUERY_ID_FIELDS,
    TEXT_FIELDS,
    TITLE_FIELD,
    Identifiers,
    check_new,
    has_images,
    text_of,
    title_of,
)
from limrank_plugins.files import json_rows, lines_and_kind, read_lines
from limrank_plugins.images import read_images
from limrank_plugins.outputs import write_json_lines, write_whole
from limrank_plugins.pipes import is_pipe
from limrank_plugins.rows import Row, Unusable, refused
from limrank_plugins.segments import CONTROLS
from limrank_plugins.tables import KINDS as TABLES
from limrank_plugins.tables import as_json_value, json_line_rows, table_kind, table_rows
from limrank_plugins.text_encoding import text_encoding
from limrank_plugins.text_files import text_kind
from limrank_plugins.wording import shortened

INCOMPLETE = "-incomplete"
"""How the tag of a run ends in which documents could not be judged."""


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


def read_documents(
    path: str | os.PathLike[str],
    *,
    field: str | Sequence[str] | None = None,
    title_field: str | Sequence[str] | None = None,
    name: str | None = None,
    unusable: Unusable = refused,
) -> Iterator[Document]:
    """Documents of a file of rows: JSON lines (as in BEIR), a JSON array, CSV, TSV or Parquet.

    `_id` or another of `ID_FIELDS` is the id; where the first row has none, file and line are (`a.csv#7`).
    `images` of JSON is a list of image files in its folder or below. Other fields go into `Document.meta`.

    Args:
        path: the file.
        field: which field holds the text, or several, of which the first that a row has is it; default:
            `TEXT_FIELDS`.
        title_field: which field holds the title, or several, as for `field`; default: `title`.
        name: what ids made of file and line call the file; default: its name.
        unusable: gets what is wrong with a row, which is then left out; default: it is raised.

    Raises:
        InputError: it cannot be read, or something is wrong with a row; the message names the line.
        MissingExtra: pyarrow is not installed, for Parquet.
    """
    names = TEXT_FIELDS if field is None else (field,) if isinstance(field, str) else field
    title_field = TITLE_FIELD if title_field is None else title_field
    titles = (title_field,) if isinstance(title_field, str) else title_field
    is_parquet, with_images = table_kind(path) == "Parquet", has_images(path)
    identifiers = Identifiers(ID_FIELDS, Path(path).name if name is None else name, "document")
    for where, number, row in table_rows(path, [text.lower() for text in names], unusable=unusable):
        try:
            identifier = identifiers.take(where, number, row)
            text = text_of(row, names, where, is_null_empty=is_parquet)
            title = title_of(row, titles, where)
            images = read_images(row.pop("images", None), path, where) if with_images else ()
        except InputError as error:
            unusable(error)
            continue
        identifiers.seen.add(identifier)
        meta = {key: as_json_value(value) for key, value in row.items()} if is_parquet else row
        yield Document(text=text, id=identifier, title=title, meta=meta, images=images)


def read_queries(path: str | os.PathLike[str]) -> list[Query]:
    """Queries of a file of rows, as for `read_documents`, of a `.tsv` of ids and texts alone, or of a `.txt`.

    A `.txt` holds a query a line; file and line are its id (`q.txt#7`).

    Rows hold one of `QUERY_FIELDS`, perhaps one of `QUERY_ID_FIELDS`, `instruction` and
    `images`. Of a pipe, the first line tells JSON lines from a table of ids and texts; so it does for runs.

    Raises:
        InputError: as for `read_documents`, or there are none.
    """
    queries: list[Query] = []
    with_images = has_images(path)
    identifiers = Identifiers(QUERY_ID_FIELDS, Path(path).name, "query")
    for where, number, row in _query_rows(path):
        identifier = identifiers.take(where, number, row)
        identifiers.seen.add(identifier)
        text = text_of(row, QUERY_FIELDS, where)
        images = read_images(row.get("images"), path, where) if with_images else ()
        queries.append(_query(where, text, identifier, row.get("instruction") or "", images))
    if not queries:
        raise InputError(f"{path} holds no queries")
    return queries


def _query_rows(path: str | os.PathLike[str]) -> Iterator[Row]:
    if _is_plain(path):
        for number, line in read_lines(path, text_encoding(path)):
            yield Row(f"{path}, line {number}", number, {"text": line.strip()})
        return
    if (kind := text_kind(path)) not in ("", "text"):
        raise InputError(
            f"{path} is a {kind} file, which holds no queries: write them as {', '.join(TABLES)}, or as .txt "
            f"with one a line"
        )
    is_table = table_kind(path) == "TSV"
    lines, is_json = lines_and_kind(path, not is_table)
    if is_json and is_pipe(path):
        yield from json_line_rows(path, lines)
    elif is_json or _names_columns(path):
        yield from table_rows(path, QUERY_FIELDS)
    else:
        for number, line in lines if is_pipe(path) else read_lines(path, text_encoding(path)):
            where = f"{path}, line {number}"
            identifier, tab, text = line.partition("\t")
            if not tab:
                raise InputError(f"{where}: expected an id, a tab and a query, but got {line[:80]!r}")
            yield Row(where, number, {"_id": identifier, "text": text})


def _is_plain(path: str | os.PathLike[str]) -> bool:
    """Whether a file of queries holds a query a line: `.txt`, but neither JSON nor columns."""
    if is_pipe(path) or not os.fspath(path).lower().removesuffix(".gz").endswith(".txt"):
        return False
    first = next(read_lines(path, text_encoding(path)), (0, ""))[1].lstrip()
    return not first.startswith("{") and "\t" not in first


def _names_columns(path: str | os.PathLike[str]) -> bool:
    """Whether a TSV file of queries begins with a line of names, rather than with a query."""
    if is_pipe(path):
        return False
    first = next(read_lines(path, text_encoding(path)), (0, ""))[1].lower().split("\t")
    names = {name.strip() for name in first}
    return bool(names & set(QUERY_FIELDS)) and bool(names & set(QUERY_ID_FIELDS))


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
            check_new(row["query_id"], seen, where, "query")
            seen.add(row["query_id"])
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
