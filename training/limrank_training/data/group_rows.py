"""Groups of a file: what is wrong with one is said with its line number, before anything is loaded.

What `limrank synth export --format listwise` and `--format setwise` write can be read as it is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.images import image_files
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_training.data.passage_groups import Passage, PassageGroup
from limrank_training.data.passage_rows import read_objects

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
    `gold`: whole numbers are positions from 0, texts are ids. Instead of `gold`, `label` may be "[3]". A
    thought is a text `trace`, or `reasons`, one for each passage; or what `completion` holds of one.

    Raises:
        InputError: a line that is not as it should be; it is named.
    """
    for where, row in read_objects(path):
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
    for where, row in read_objects(path):
        if "passages" in row:
            whole = _group(row, where, path)
            parts = [
                PassageGroup(whole.query, (p,), where=f"{where}, passage {i}")
                for i, p in enumerate(whole.passages)
            ]
        else:
            _check_columns(row, _GRADED, where)
            query = _text(row, "query", where)
            if not query.strip():
                raise InputError(f"{where}: 'query' is missing or empty")
            given = {"text": row.get("passage", ""), "title": row.get("title", ""), "grade": row.get("grade")}
            if not isinstance(given["text"], str) or not given["text"].strip():
                raise InputError(f"{where}: 'passage' is missing or empty")
            parts = [PassageGroup(query, (_passage(given, where, path),), where=where)]
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
    _check_columns(row, _KNOWN, where)
    query = _text(row, "query", where)
    if not query.strip():
        raise InputError(f"{where}: 'query' is missing or empty")
    given = row.get("passages")
    if not isinstance(given, list) or len(given) < 2:
        raise InputError(f"{where}: 'passages' must be a list of two or more")
    passages = [_passage(one, f"{where}, passage {i}", path) for i, one in enumerate(given)]
    ids = [passage.id for passage in passages if passage.id]
    if len(set(ids)) < len(ids):
        raise InputError(f"{where}: two passages have one id")
    reasons = row.get("reasons")
    if reasons is not None:
        if not isinstance(reasons, list) or len(reasons) != len(passages):
            raise InputError(
                f"{where}: 'reasons' must be a list of {len(passages)} texts, one for each passage"
            )
        if not all(isinstance(reason, str) and reason.strip() for reason in reasons):
            raise InputError(f"{where}: every one of the 'reasons' must be a text that is not empty")
        passages = [replace(p, reason=reason) for p, reason in zip(passages, reasons, strict=True)]
    trace = _trace(row, where)
    if trace and reasons is not None:
        raise InputError(f"{where}: there are both a 'trace' and 'reasons': give one of them")
    order = _order(row.get("order"), passages, where)
    return PassageGroup(query, tuple(passages), order, _gold(row, passages, where), trace, where)


def _passage(one: object, where: str, path: str | os.PathLike[str]) -> Passage:
    if not isinstance(one, dict):
        raise InputError(f"{where}: expected an object with a 'text', but got {str(one)[:80]!r}")
    _check_columns(one, _OF_PASSAGE, where)
    identifier = one.get("id", "")
    if not isinstance(identifier, str):
        raise InputError(
            f"{where}: 'id' must be a text, as numbers in an order are positions: {identifier!r}"
        )
    images = tuple(image_files(one.get("images"), path, where))
    for file in images:
        if not file.is_file():
            raise InputError(f"{where}: there is no image {file.name!r} beside the file")
    text = _text(one, "text", where)
    if not text.strip() and not images:
        raise InputError(f"{where}: 'text' is missing or empty, and there are no images")
    return Passage(text, _text(one, "title", where), identifier, _grade(one, where), images=images)


def _grade(one: dict[str, Any], where: str) -> float | None:
    given = {name: one[name] for name in ("relevance", "grade") if one.get(name) is not None}
    for name, value in given.items():
        if isinstance(value, bool):
            given[name] = float(value)
        elif not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise InputError(f"{where}: {name!r} must be a number >= 0, but is {value!r}")
    if len(set(given.values())) > 1:
        raise InputError(f"{where}: 'relevance' is {given['relevance']!r}, but 'grade' is {given['grade']!r}")
    return float(next(iter(given.values()))) if given else None


def _order(given: object, passages: Sequence[Passage], where: str) -> tuple[int, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise InputError(f"{where}: 'order' must be a list of positions or ids, but is {given!r}")
    order = tuple(_position(one, passages, f"{where}: 'order'") for one in given)
    if sorted(order) != list(range(len(passages))):
        raise InputError(
            f"{where}: 'order' must name each of {len(passages)} passages once, but is {str(given)[:120]}"
        )
    return order


def _gold(row: dict[str, Any], passages: Sequence[Passage], where: str) -> int | None:
    found = []
    if row.get("gold") is not None:
        found.append(_position(row["gold"], passages, f"{where}: 'gold'"))
    if row.get("label") is not None:
        labels = NUMERIC.shown(len(passages))
        if row["label"] not in labels:
            raise InputError(f"{where}: 'label' must be one of [1] to {labels[-1]}, but is {row['label']!r}")
        found.append(labels.index(row["label"]))
    if len(set(found)) > 1:
        raise InputError(f"{where}: 'gold' is position {found[0]}, but 'label' is {row['label']!r}")
    return found[0] if found else None


def _position(given: object, passages: Sequence[Passage], what: str) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(passages):
        return given
    if isinstance(given, str) and given:
        for position, passage in enumerate(passages):
            if passage.id == given:
                return position
    raise InputError(
        f"{what} names {given!r}, which is neither an id nor a position from 0 to {len(passages) - 1}"
    )


def _trace(row: dict[str, Any], where: str) -> str:
    trace = _text(row, "trace", where).strip()
    written = row.get("completion")
    if trace or written is None:
        return trace
    if isinstance(written, list) and len(written) == 1 and isinstance(written[0], dict):
        written = written[0].get("content")
    if not isinstance(written, str):
        raise InputError(f"{where}: 'completion' must be a text or one message, but is {str(written)[:80]!r}")
    return split_reasoning(written)[0] or ""


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{where}: {name!r} must be a text, but is {value!r}")
    return value


def _check_columns(row: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(row) - known)
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; known: {', '.join(sorted(known))}")
