"""The result files that ReasonRank publishes (8421BCD/ReasonRank, results/<task>.json).

Every file is a list of records, one for each run of its evaluation, and grew by being rewritten: one of
those in its repository ends in the middle of a record. What is whole is read, what is cut is told.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines


class PublishedRow(NamedTuple):
    """One run of ReasonRank's evaluation.

    Attributes:
        model: the last part of its path.
        first_stage: what was reranked.
        depth: how many documents of it.
        passes: how often the window went over them.
        scores: by measure as ir_measures writes it, times 100 as published.
    """

    model: str
    first_stage: str
    depth: int
    passes: int
    scores: dict[str, float]


class PublishedRows(NamedTuple):
    """The whole records of a file, and whether it ends in the middle of another."""

    rows: list[PublishedRow]
    cut_short: bool


def read_reasonrank(path: str | os.PathLike[str]) -> PublishedRows:
    """Read one of its files.

    Raises:
        InputError: it is no such list, or has no whole record.
    """
    text = "\n".join(line for _, line in read_lines(path)).strip()
    if not text.startswith("["):
        raise InputError(f"{path} is no list of records")
    decoder, place, rows = json.JSONDecoder(), 1, []
    while True:
        place = _next(text, place)
        if text[place : place + 1] in ("]", ""):
            break
        try:
            record, place = decoder.raw_decode(text, place)
        except ValueError:
            break
        rows.append(_row(record, path))
    if not rows:
        raise InputError(f"{path} has no whole record")
    return PublishedRows(rows, text[place:].strip() != "]")


def _next(text: str, place: int) -> int:
    while place < len(text) and (text[place].isspace() or text[place] == ","):
        place += 1
    return place


def _row(record: Any, path: str | os.PathLike[str]) -> PublishedRow:
    try:
        return PublishedRow(
            record["model_path"].rsplit("/", 1)[-1],
            record["retrieval_method"],
            int(record["rerank_topk"]),
            int(record["current_pass"]),
            {
                name.replace("NDCG", "nDCG"): float(value)
                for name, value in record.items()
                if name.startswith("NDCG@")
            },
        )
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: a record is not as ReasonRank writes it ({error!r})") from error
