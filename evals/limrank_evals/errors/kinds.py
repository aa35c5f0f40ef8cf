"""Which kind a passage is of for a query: it answers, it helps indirectly, or it only looks as if it did.

Kinds are the synthesizer's names (`limrank_synth.records.INTENTS`) or any others with the same heads:
`direct`, `indirect` or `indirect:foundational`, `negative` or `negative:outdated`. Whatever stands before
the colon is the sort. Where nobody wrote kinds down, grades can stand in for them (`kinds_from_grades`):
TREC DL's 3, "dedicated to the query and contains the exact answer", is a direct answer; its 1, related, and
2, has some answer, are not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

from limrank_evals.judgements import Qrels
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, lines_and_kind, read_lines

Sort = Literal["direct", "indirect", "negative"]
SORTS: tuple[Sort, ...] = get_args(Sort)
Wish = Literal["direct", "background", "either"]
WISHES: tuple[Wish, ...] = get_args(Wish)
FALSE_CLAIM = "negative:false-claim"

Kinds = dict[str, dict[str, str]]
"""For every query the kinds of some of its documents."""


def sort_of(kind: str) -> Sort:
    """What stands before a kind's colon.

    Raises:
        InputError: it is none of `SORTS`.
    """
    head = kind.partition(":")[0]
    for sort in SORTS:
        if head == sort:
            return sort
    raise InputError(f"a kind begins with {', '.join(SORTS)} (as in indirect:supporting), but is {kind!r}")


def read_kinds(path: str | os.PathLike[str], qrels: Qrels | None = None) -> Kinds:
    """Kinds from lines `query document kind`, or from a synthesis's `rows.jsonl`.

    A `.jsonl` file holds rows of a synthesis (`query_id`, `id`, `passage`, `intent`) or objects with
    `query`, `document` and `kind`. A row whose kind is not known (`intent` is empty, as Rank1's are) says
    nothing.

    Args:
        path: of the file; `.gz` is unpacked.
        qrels: judgements. An export calls rows with equal passages by the id of one of them: a row that
            the judgements do not know gives its kind to that one.

    Raises:
        InputError: an empty file, a line that is neither, another kind, or two kinds for one document.
    """
    kinds: Kinds = {}
    lines, is_json = lines_and_kind(path, os.fspath(path).removesuffix(".gz").endswith(".jsonl"))
    entries = _json_kinds(path, lines) if is_json else _column_kinds(path, lines)
    alike: dict[bytes, list[str]] = {}
    texts: dict[tuple[str, str], bytes] = {}
    for where, query, document, kind, passage in entries:
        if passage is not None:
            texts[query, document] = digest = hashlib.sha256(
                passage.encode("utf-8", "surrogatepass")
            ).digest()
            alike.setdefault(digest, []).append(document)
        if kind:
            _add(kinds, query, document, kind, where)
    if not kinds:
        raise InputError(f"{path} names no kind of any document")
    for (query, document), digest in texts.items():
        judged = (qrels or {}).get(query, {})
        if document in kinds.get(query, {}) and document not in judged:
            for other in alike[digest]:
                if other in judged:
                    kinds[query].setdefault(other, kinds[query][document])
                    kinds[query].pop(document)
                    break
    return kinds


def kinds_from_grades(qrels: Qrels, direct: int) -> Kinds:
    """Grades as kinds: from `direct` on a direct answer, above 0 indirect, the others negative.

    Sub-kinds are the grades: `indirect:grade-1`.

    Raises:
        InputError: `direct` is below 2, or the judgements have no relevant document on one side of it.
    """
    if direct < 2:
        raise InputError(f"--direct-grade must be 2 or more, but is {direct}: below it lie indirect ones")
    kinds: Kinds = {
        query: {document: _kind_of(grade, direct) for document, grade in grades.items()}
        for query, grades in qrels.items()
    }
    sorts = {sort_of(kind) for by_document in kinds.values() for kind in by_document.values()}
    for missing in ("direct", "indirect"):
        if missing not in sorts:
            grades = sorted({grade for by in qrels.values() for grade in by.values()})
            raise InputError(
                f"with --direct-grade {direct} no passage is {missing}: the judgements' grades are {grades}"
            )
    return kinds


def read_wishes(path: str | os.PathLike[str]) -> dict[str, Wish]:
    """What queries want, from lines `query wish`: `direct`, `background` or `either`.

    Raises:
        InputError: an empty file, a line with other columns, another wish, a query twice.
    """
    wishes: dict[str, Wish] = {}
    for number, line in read_lines(path):
        where, columns = f"{path}, line {number}", line.split()
        wish = next((wish for wish in WISHES if columns[1:] == [wish]), None)
        if wish is None:
            raise InputError(f"{where}: expected a query and one of {', '.join(WISHES)}: {line[:80]!r}")
        if columns[0] in wishes:
            raise InputError(f"{where}: query {columns[0]!r} was there before")
        wishes[columns[0]] = wish
    if not wishes:
        raise InputError(f"{path} says of no query what it wants")
    return wishes


def agreeing(kinds: Mapping[str, Mapping[str, str]], qrels: Qrels) -> tuple[Kinds, int]:
    """The kinds that the judgements do not contradict, and how many they do.

    A document called direct or indirect that was judged not relevant, or called negative and judged
    relevant, is an error in one of the two files and says nothing about a ranking. A document that nobody
    judged keeps its kind.
    """
    kept: Kinds = {}
    against = 0
    for query, by_document in kinds.items():
        grades = qrels.get(query, {})
        for document, kind in by_document.items():
            if document in grades and (grades[document] > 0) != (sort_of(kind) != "negative"):
                against += 1
            else:
                kept.setdefault(query, {})[document] = kind
    return kept, against


def _kind_of(grade: int, direct: int) -> str:
    if grade >= direct:
        return "direct"
    return f"indirect:grade-{grade}" if grade > 0 else f"negative:grade-{grade}"


def _add(kinds: Kinds, query: str, document: str, kind: str, where: str) -> None:
    try:
        sort_of(kind)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    known = kinds.setdefault(query, {})
    if document in known:
        raise InputError(f"{where}: document {document!r} has a kind for query {query!r} already")
    known[document] = kind


_Lines = Iterator[tuple[int, str]]
_Entry = tuple[str, str, str, str, str | None]
"""Place in the file, query, document, kind, and the passage where it is known."""


def _column_kinds(path: str | os.PathLike[str], lines: _Lines) -> Iterator[_Entry]:
    for number, line in lines:
        where, columns = f"{path}, line {number}", line.split()
        if len(columns) != 3:
            raise InputError(f"{where}: expected query, document and kind, but got {line[:80]!r}")
        yield where, columns[0], columns[1], columns[2], None


def _json_kinds(path: str | os.PathLike[str], lines: _Lines) -> Iterator[_Entry]:
    for where, row in json_rows(path, lines):
        for names in (("query_id", "id", "intent", "passage"), ("query", "document", "kind")):
            if all(isinstance(row.get(name), str) for name in names):
                query, document, kind, *passage = (row[name] for name in names)
                yield where, query, document, kind, passage[0] if passage else None
                break
        else:
            raise InputError(
                f"{where}: expected a row of a synthesis (query_id, id, passage, intent) or an object with "
                f"query, document and kind: {str(row)[:80]}"
            )
