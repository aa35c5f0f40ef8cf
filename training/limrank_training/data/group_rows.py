"""Groups of a file: what is wrong with one is said with its line number, before anything is loaded.

What `limrank synth export --format listwise` and `--format setwise` write can be read as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from limrank_plugins.checks import is_finite
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.readouts.usable import can_be_seen
from limrank_plugins.wording import shortened
from limrank_training.data.passage_groups import Passage, PassageGroup
from limrank_training.data.row_fields import (
    check_columns,
    existing_images,
    filled_text,
    read_rows,
    text_field,
)

# `prompt` and `ndcg` are the export's own: the prompt is made anew, by the template of inference.
_KNOWN = {
    "query", "query_id", "passages", "order", "gold", "label", "reasons", "trace", "completion", "prompt",
    "ndcg", "sources", "licence", "meta",
}  # fmt: skip
_GRADED = {"query", "query_id", "passage", "title", "grade", "id", "sources", "licence", "meta"}
_OF_PASSAGE = {"id", "text", "title", "relevance", "grade", "images", "meta"}


def read_groups(path: str | os.PathLike[str]) -> Iterator[PassageGroup]:
    """The groups of a JSONL file.

    A line has `query` and `passages`, each with `text` or `images` (files in the folder of the JSONL file
    or below), or both, and perhaps `id`, `title` and `relevance` (or `grade`). It may have `order` and
    `gold`: whole numbers are positions from 0, texts are ids. Instead of `gold`, `label` may be "[3]". The
    reasoning is a text `trace`, or `reasons`, one for each passage; or what `completion` holds of one.

    Raises:
        InputError: a line that is not as it should be; it is named.
    """
    for where, row in read_rows(path):
        yield _group(row, where, path)


def read_graded(path: str | os.PathLike[str], levels: int) -> Iterator[PassageGroup]:
    """Graded passages of a JSONL file, each as a group of one.

    A line has `query`, `passage` and `grade` (a whole number from 0 to levels - 1), and perhaps `title`;
    or it is a group whose passages have grades (what the listwise export writes), and is taken apart.

    Args:
        path: the file.
        levels: how many grades the rubric has.

    Raises:
        InputError: a line that is not as it should be, or a grade the rubric has not; it is named.
    """
    for where, row in read_rows(path):
        if "passages" in row:
            whole = _group(row, where, path)
            parts = [
                PassageGroup(whole.query, (p,), where=f"{where}, passage {i}")
                for i, p in enumerate(whole.passages)
            ]
        else:
            check_columns(row, _GRADED, where)
            query, text = filled_text(row, "query", where), filled_text(row, "passage", where)
            passage = {"text": text, "title": row.get("title", ""), "grade": row.get("grade")}
            parts = [PassageGroup(query, (_passage(passage, where, path),), where=where)]
        for part in parts:
            grade = part.passages[0].grade
            if grade is None:
                raise InputError(f"{part.where}: 'grade' is missing")
            if grade not in range(levels):
                raise InputError(
                    f"{part.where}: the grade must be a whole number from 0 to {levels - 1}, but is "
                    f"{grade:g}; a recipe such as graded:levels=3 has other levels"
                )
            yield part


# ---- inside -------------------------------------------------------------------------------------


def _group(row: dict[str, Any], where: str, path: str | os.PathLike[str]) -> PassageGroup:
    check_columns(row, _KNOWN, where)
    query = filled_text(row, "query", where)
    values = row.get("passages")
    if not isinstance(values, list) or len(values) < 2:
        raise InputError(f"{where}: 'passages' must be a list of two or more")
    passages = [_passage(value, f"{where}, passage {i}", path) for i, value in enumerate(values)]
    ids = [passage.id for passage in passages if passage.id]
    if len(set(ids)) < len(ids):
        raise InputError(f"{where}: two passages have one id")
    reasons = row.get("reasons")
    if reasons is not None:
        if not isinstance(reasons, list) or len(reasons) != len(passages):
            raise InputError(
                f"{where}: 'reasons' must be a list of {len(passages)} texts, one for each passage"
            )
        if not all(isinstance(reason, str) and can_be_seen(reason) for reason in reasons):
            raise InputError(f"{where}: every one of the 'reasons' must be a text that is not empty")
        passages = [replace(p, reason=reason) for p, reason in zip(passages, reasons, strict=True)]
    trace = _trace(row, where)
    if trace and reasons is not None:
        raise InputError(f"{where}: there are both a 'trace' and 'reasons': give one of them")
    order = _order(row.get("order"), passages, where)
    return PassageGroup(query, tuple(passages), order, _gold(row, passages, where), trace, where)


def _passage(passage: object, where: str, path: str | os.PathLike[str]) -> Passage:
    if not isinstance(passage, dict):
        raise InputError(f"{where}: expected an object with a 'text', but got {str(passage)[:80]!r}")
    check_columns(passage, _OF_PASSAGE, where)
    identifier = passage.get("id", "")
    if not isinstance(identifier, str):
        raise InputError(
            f"{where}: 'id' must be a text, as numbers in an order are positions: {identifier!r}"
        )
    images = existing_images(passage.get("images"), path, where)
    text = text_field(passage, "text", where)
    if not can_be_seen(text) and not images:
        raise InputError(f"{where}: 'text' is missing or empty, and there are no images")
    return Passage(
        text, text_field(passage, "title", where), identifier, _grade(passage, where), images=images
    )


def _grade(passage: dict[str, Any], where: str) -> float | None:
    grades = {name: passage[name] for name in ("relevance", "grade") if passage.get(name) is not None}
    for name, value in grades.items():
        if isinstance(value, bool):
            grades[name] = float(value)
        elif not isinstance(value, int | float) or not is_finite(value) or value < 0:
            raise InputError(f"{where}: {name!r} must be a number >= 0, but is {value!r}")
    if len(set(grades.values())) > 1:
        raise InputError(
            f"{where}: 'relevance' is {grades['relevance']!r}, but 'grade' is {grades['grade']!r}"
        )
    return float(next(iter(grades.values()))) if grades else None


def _order(names: object, passages: Sequence[Passage], where: str) -> tuple[int, ...]:
    if names is None:
        return ()
    if not isinstance(names, list):
        raise InputError(f"{where}: 'order' must be a list of positions or ids, but is {names!r}")
    order = tuple(_position(name, passages, f"{where}: 'order'") for name in names)
    if sorted(order) != list(range(len(passages))):
        raise InputError(
            f"{where}: 'order' must name each of {len(passages)} passages once, but is {str(names)[:120]}"
        )
    return order


def _gold(row: dict[str, Any], passages: Sequence[Passage], where: str) -> int | None:
    positions = []
    if row.get("gold") is not None:
        positions.append(_position(row["gold"], passages, f"{where}: 'gold'"))
    if row.get("label") is not None:
        labels = NUMERIC.shown(len(passages))
        if row["label"] not in labels:
            raise InputError(f"{where}: 'label' must be one of [1] to {labels[-1]}, but is {row['label']!r}")
        positions.append(labels.index(row["label"]))
    if len(set(positions)) > 1:
        raise InputError(f"{where}: 'gold' is position {positions[0]}, but 'label' is {row['label']!r}")
    return positions[0] if positions else None


def _position(name: object, passages: Sequence[Passage], what: str) -> int:
    if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(passages):
        return name
    if isinstance(name, str) and name:
        for position, passage in enumerate(passages):
            if passage.id == name:
                return position
    raise InputError(
        f"{what} names {name!r}, which is neither an id nor a position from 0 to {len(passages) - 1}"
    )


def _trace(row: dict[str, Any], where: str) -> str:
    trace = text_field(row, "trace", where).strip()
    if trace and not can_be_seen(trace):
        raise InputError(
            f"{where}: 'trace' is {shortened(repr(trace))}, which holds nothing that can be seen"
        )
    completion = row.get("completion")
    if trace or completion is None:
        return trace
    if isinstance(completion, list) and len(completion) == 1 and isinstance(completion[0], dict):
        completion = completion[0].get("content")
    if not isinstance(completion, str):
        raise InputError(
            f"{where}: 'completion' must be a text or one message, but is {str(completion)[:80]!r}"
        )
    reasoning = split_reasoning(completion)[0] or ""
    return reasoning if can_be_seen(reasoning) else ""
