"""Training rows of a file: what is wrong with one is said with its line number, before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from limrank_plugins.checks import finite_number
from limrank_plugins.errors import InputError
from limrank_training.data.row_fields import check_columns, filled_text, read_rows, text_field
from limrank_training.data.traces import passage_trace

_TEXTS = ("query", "passage", "trace")
SCORES = {"score", "teacher"}
"""The columns of a teacher's scores, which are learned by one objective and mislead in all others."""

# What else a synthesis writes beside what is learned; it is not read here.
_KNOWN = {
    *_TEXTS, "verdict", "relevant", "title", "id", "query_id", "intent", "false_claim", "kind", "domain",
    "difficulty", "votes", "second", "sources", "licence", "meta",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A judged passage.

    Attributes:
        query, passage: as the model will read them.
        trace: the reasoning before the verdict; empty where there is none.
        relevant: the verdict; None where there is a score and nobody judged.
        where: file and line, for messages.
        repaired: whether tags of reasoning were taken off the trace.
        score: a teacher's.
        teacher: whose score it is, where that is known.
    """

    query: str
    passage: str
    trace: str
    relevant: bool | None
    where: str
    repaired: bool = False
    score: float | None = None
    teacher: str = ""


def read_passage_rows(
    path: str | os.PathLike[str], *, traces: bool = True, scores: bool = False
) -> Iterator[PassageRow]:
    """The rows of a JSONL file: `query`, `passage`, `trace`, and `relevant` (true, false) or `verdict`.

    What `limrank synth` writes can be read as it is; a `title` is put before the passage, as at inference.
    A trace that must be there may be raw output, `<think>…</think>` and a verdict: see `traces`.

    Args:
        path: the file; `.gz` is unpacked.
        traces: whether every row must have a trace.
        scores: whether every row must have a teacher's `score`, perhaps with the name of its `teacher`; it
            then needs no verdict. Else none may have one.

    Raises:
        InputError: a row without a verdict, with an empty passage, an unknown column, …; its line is named.
    """
    for where, row in read_rows(path):
        yield passage_row(row, where, traces=traces, scores=scores)


def passage_row(row: dict[str, Any], where: str, *, traces: bool, scores: bool) -> PassageRow:
    """One row, checked; as `read_passage_rows`."""
    check_columns(row, _KNOWN | SCORES if scores else _KNOWN, where)
    title = text_field(row, "title", where)
    query, passage = filled_text(row, "query", where), filled_text(row, "passage", where)
    trace = (filled_text if traces else text_field)(row, "trace", where)
    passage = f"{title} {passage}" if title else passage
    if scores:
        judged = _verdict(row, where) if {"relevant", "verdict"} & row.keys() else None
        if row.get("score") is None:
            raise InputError(
                f"{where}: there is no 'score': `limrank score` puts a teacher's scores beside rows"
            )
        score = finite_number(f"{where}: 'score'", row["score"])
        teacher = text_field(row, "teacher", where)
        return PassageRow(query, passage, trace, judged, where, score=score, teacher=teacher)
    relevant = _verdict(row, where)
    if not traces:
        return PassageRow(query, passage, trace, relevant, where)
    cleaned = passage_trace(trace, relevant, where)
    return PassageRow(query, passage, cleaned.text, relevant, where, cleaned.repaired)


def _verdict(row: dict[str, Any], where: str) -> bool:
    values = [row[name] for name in ("relevant", "verdict") if name in row]
    if not values:
        raise InputError(f"{where}: there is neither 'relevant' nor 'verdict'")
    truths = [_truth(value) for value in values]
    if None in truths:
        wrong = values[truths.index(None)]
        raise InputError(f"{where}: the verdict must be true or false, but is {wrong!r}")
    if len(set(truths)) > 1:
        raise InputError(f"{where}: 'relevant' is {values[0]!r}, but 'verdict' is {values[1]!r}")
    return bool(truths[0])


def _truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None
