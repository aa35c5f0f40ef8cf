"""Documents that must not count as found for a query: BRIGHT's `excluded_ids`.

Where the query itself, or its near copy, is in the corpus, the benchmark names it. Such documents go before
any cut, so that the place they took is taken by the next one, and `exclude` asserts that none remains.
Source: BRIGHT (arXiv 2407.12883), run.py and retrievers.py of xlang-ai/BRIGHT.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from limrank_evals.judgements import Qrels
from limrank_evals.runs import Ranked
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, lines_and_kind

Excluded = dict[str, set[str]]
"""For every query the documents that must not count."""

# BRIGHT writes this where there is none.
NOTHING = "N/A"


def exclude(ranked: Mapping[str, Sequence[str]], excluded: Mapping[str, Collection[str]]) -> Ranked:
    """The ranking without the excluded documents; everything else moves up."""
    kept = {
        query: [document for document in ids if document not in excluded.get(query, ())]
        for query, ids in ranked.items()
    }
    left = {query for query, ids in kept.items() if not set(ids).isdisjoint(excluded.get(query, ()))}
    if left:
        raise AssertionError(f"excluded documents remain for queries {sorted(left)[:5]}")
    return kept


def count_excluded(ranked: Mapping[str, Sequence[str]], excluded: Mapping[str, Collection[str]]) -> int:
    """How many documents of a ranking are excluded ones."""
    return sum(len(set(documents) & set(excluded.get(query, ()))) for query, documents in ranked.items())


def check_judgements(qrels: Qrels, excluded: Mapping[str, Collection[str]]) -> None:
    """Raise an `InputError` for a document that is both relevant and excluded: it could never be found."""
    for query, grades in qrels.items():
        both = [d for d in excluded.get(query, ()) if grades.get(d, 0) > 0]
        if both:
            raise InputError(
                f"document {sorted(both)[0]!r} is relevant for query {query!r} and excluded for it: "
                f"the judgements and the exclusions do not belong together"
            )


def read_excluded(path: str | os.PathLike[str]) -> Excluded:
    """Exclusions from lines `query document`, or from BRIGHT's examples as `.jsonl` (`id`, `excluded_ids`).

    Raises:
        InputError: a line that is neither.
    """
    excluded: Excluded = {}
    lines, is_json = lines_and_kind(path, os.fspath(path).removesuffix(".gz").endswith(".jsonl"))
    if is_json:
        pairs = (_from_example(row, where) for where, row in json_rows(path, lines))
    else:
        pairs = (_from_columns(line, f"{path}, line {number}") for number, line in lines)
    for query, documents in pairs:
        excluded.setdefault(query, set()).update(without_nothing(documents))
    return excluded


def without_nothing(documents: Iterable[str]) -> set[str]:
    """The documents without the word that stands for none."""
    return {document for document in documents if document != NOTHING}


def _from_columns(line: str, where: str) -> tuple[str, list[str]]:
    columns = line.split()
    if len(columns) != 2:
        raise InputError(f"{where}: expected a query and a document, but got {line[:80]!r}")
    return columns[0], columns[1:]


def _from_example(row: dict[str, Any], where: str) -> tuple[str, list[str]]:
    query, documents = row.get("id", row.get("_id")), row.get("excluded_ids")
    strings = isinstance(documents, list) and all(isinstance(d, str) for d in documents)
    if not isinstance(query, str | int) or not strings or documents is None:
        raise InputError(f"{where}: expected 'id' and a list of strings 'excluded_ids': {str(row)[:80]!r}")
    return str(query), documents
