"""Queries with passages that answer them and passages that do not, from a file of pairs or triples.

What `limrank synth export --format pairs`, `--format triples` and `limrank synth documents` write can be
read as it is, and so can `limrank synth`'s own rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.segments import clean_text
from limrank_training.data.row_fields import check_columns, filled_text, read_rows, text_field

_TRIPLE = {"anchor", "positive", "negative"}
_PAIR = {
    "query", "passage", "title", "label", "relevant", "verdict", "trace", "id", "query_id", "intent",
    "false_claim", "kind", "domain", "difficulty", "votes", "second", "sources", "licence", "meta",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class QueryPassages:
    """A query and what is known of its passages, each text once.

    Attributes:
        query: as the model will read it.
        positives, negatives: texts, in the file's order; no text is in both.
        where: file and line of the query's first row.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    where: str


def read_query_passages(path: str | os.PathLike[str]) -> list[QueryPassages]:
    """The queries of a JSONL file, in the order of their first rows.

    A line is a pair, `query`, `passage` and `label` (0 or 1; or `relevant`, or `verdict`), perhaps with a
    `title`; or a triple, `anchor`, `positive` and `negative`. Rows of one query are put together; a row
    that comes twice counts once.

    Raises:
        InputError: a line that is not as it should be, or one passage that answers a query and does not;
            the lines are named. Or no query has a positive.
    """
    lines: dict[str, str] = {}
    passages: dict[str, dict[str, tuple[bool, str]]] = {}
    for where, row in read_rows(path):
        for query, passage, is_relevant in _labelled_passages(row, where):
            lines.setdefault(query, where)
            was_relevant, before = passages.setdefault(query, {}).setdefault(passage, (is_relevant, where))
            if was_relevant != is_relevant:
                raise InputError(
                    f"{where}: the passage {passage[:60]!r} is {'' if is_relevant else 'not '}relevant to "
                    f"{query[:60]!r}, but in {before} it is {'' if was_relevant else 'not '}relevant"
                )
    queries = [
        QueryPassages(
            query,
            tuple(text for text, (is_relevant, _) in own.items() if is_relevant),
            tuple(text for text, (is_relevant, _) in own.items() if not is_relevant),
            lines[query],
        )
        for query, own in passages.items()
    ]
    if not any(query.positives for query in queries):
        raise InputError(f"{os.fspath(path)}: no query has a passage that is relevant")
    return queries


# ---- inside -------------------------------------------------------------------------------------


def _labelled_passages(row: dict[str, Any], where: str) -> Iterator[tuple[str, str, bool]]:
    """Queries, passages, and whether each passage answers its query."""
    if "anchor" in row:
        check_columns(row, _TRIPLE, where)
        query = clean_text(filled_text(row, "anchor", where))
        positive, negative = (clean_text(filled_text(row, name, where)) for name in ("positive", "negative"))
        if positive == negative:
            raise InputError(f"{where}: 'positive' and 'negative' are the same text")
        yield query, positive, True
        yield query, negative, False
        return
    check_columns(row, _PAIR, where)
    title = text_field(row, "title", where)
    passage = clean_text(filled_text(row, "passage", where))
    text = clean_text(f"{title} {passage}") if title else passage
    yield clean_text(filled_text(row, "query", where)), text, _relevant(row, where)


def _relevant(row: dict[str, Any], where: str) -> bool:
    values = {name: row[name] for name in ("label", "relevant", "verdict") if name in row}
    if not values:
        raise InputError(f"{where}: there is none of 'label', 'relevant' and 'verdict'")
    truths: set[bool] = set()
    for name, value in values.items():
        truth = value.strip().lower() if isinstance(value, str) else value
        if isinstance(truth, bool) or (isinstance(truth, int | float) and truth in (0, 1)):
            truths.add(bool(truth))
        elif truth in ("true", "false"):
            truths.add(truth == "true")
        else:
            raise InputError(f"{where}: {name!r} must be 0 or 1, true or false, but is {value!r}")
    if len(truths) > 1:
        raise InputError(f"{where}: {' and '.join(map(repr, values))} contradict each other")
    return truths.pop()
