"""Queries with passages that answer them and passages that do not, from a file of pairs or triples.

What `limrank synth export --format pairs`, `--format triples` and `limrank synth documents` write can be
read as it is, and so can `limrank synth`'s own rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.segments import clean_text
from limrank_training.data.passage_rows import read_objects

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


@dataclass(slots=True)
class _Held:
    """What was read of a query so far: each text with its verdict and its line."""

    where: str
    passages: dict[str, tuple[bool, str]] = field(default_factory=dict)


def read_query_passages(path: str | os.PathLike[str]) -> list[QueryPassages]:
    """The queries of a JSONL file, in the order of their first rows.

    A line is a pair, `query`, `passage` and `label` (0 or 1; or `relevant`, or `verdict`), perhaps with a
    `title`; or a triple, `anchor`, `positive` and `negative`. Rows of one query are put together; a row
    that comes twice counts once.

    Raises:
        InputError: a line that is not as it should be, or one passage that answers a query and does not;
            the lines are named. Or no query has a positive.
    """
    held: dict[str, _Held] = {}
    for where, row in read_objects(path):
        for query, passage, relevant in _judgements(row, where):
            known = held.setdefault(query, _Held(where))
            before = known.passages.setdefault(passage, (relevant, where))
            if before[0] != relevant:
                raise InputError(
                    f"{where}: the passage {passage[:60]!r} is {'' if relevant else 'not '}relevant to "
                    f"{query[:60]!r}, but in {before[1]} it is {'' if before[0] else 'not '}relevant"
                )
    made = [
        QueryPassages(
            query,
            tuple(text for text, (relevant, _) in known.passages.items() if relevant),
            tuple(text for text, (relevant, _) in known.passages.items() if not relevant),
            known.where,
        )
        for query, known in held.items()
    ]
    if not any(one.positives for one in made):
        raise InputError(f"{os.fspath(path)}: no query has a passage that is relevant")
    return made


# ---- inside -------------------------------------------------------------------------------------


def _judgements(row: dict[str, Any], where: str) -> Iterator[tuple[str, str, bool]]:
    if "anchor" in row:
        _known(row, _TRIPLE, where)
        query = _text(row, "anchor", where)
        positive, negative = _text(row, "positive", where), _text(row, "negative", where)
        if positive == negative:
            raise InputError(f"{where}: 'positive' and 'negative' are the same text")
        yield query, positive, True
        yield query, negative, False
        return
    _known(row, _PAIR, where)
    title = row.get("title", "")
    if not isinstance(title, str):
        raise InputError(f"{where}: 'title' must be a text, but is {title!r}")
    passage = _text(row, "passage", where)
    text = clean_text(f"{title} {passage}") if title else passage
    yield _text(row, "query", where), text, _relevant(row, where)


def _relevant(row: dict[str, Any], where: str) -> bool:
    given = {name: row[name] for name in ("label", "relevant", "verdict") if name in row}
    if not given:
        raise InputError(f"{where}: there is none of 'label', 'relevant' and 'verdict'")
    read: set[bool] = set()
    for name, value in given.items():
        truth = value.strip().lower() if isinstance(value, str) else value
        if isinstance(truth, bool) or (isinstance(truth, int | float) and truth in (0, 1)):
            read.add(bool(truth))
        elif truth in ("true", "false"):
            read.add(truth == "true")
        else:
            raise InputError(f"{where}: {name!r} must be 0 or 1, true or false, but is {value!r}")
    if len(read) > 1:
        raise InputError(f"{where}: {' and '.join(map(repr, given))} contradict each other")
    return read.pop()


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {name!r} must be a text that is not empty, but is {value!r}")
    return clean_text(value)


def _known(row: dict[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(set(row) - names)
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; known: {', '.join(sorted(names))}")
