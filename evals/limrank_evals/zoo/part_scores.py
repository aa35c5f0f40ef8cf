"""A zoo's cells as parts of a fusion: their scores, checked against what each cell says of itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limrank_evals.evaluation.evaluation_folder import QRELS, RANKINGS
from limrank_evals.judgements import Qrels, read_judgements
from limrank_evals.measures import measure
from limrank_evals.zoo.cell import CELL, MEASURE
from limrank_evals.zoo.collections import file_name
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, read_json_object, read_lines
from limrank_plugins.wording import number_of, verb_for


@dataclass(frozen=True, slots=True)
class PartScores:
    """A part's scores on one collection.

    Attributes:
        scores: for every query that has candidates those of its documents, best first.
        qrels: the judgements beside them.
        values: nDCG@10 of every judged query as the zoo measured it: in the collection's order, behind them
            those without candidates.
        made_of: what the cell's texts, first stage and judgements were.
    """

    scores: Mapping[str, Mapping[str, float]]
    qrels: Qrels
    values: Mapping[str, float]
    made_of: object = None


def read_parts(names: Sequence[str]) -> tuple[dict[str, dict[str, PartScores]], dict[str, str]]:
    """Cells named as `ZOO:RECIPE`, by name and collection, and why each other collection is left out.

    Raises:
        InputError: a name that stands for no cell, one cell named twice, no collection that all of them
            finished, or a cell that cannot be a part: see `read_part`.
    """
    cells: dict[str, dict[str, Path]] = {}
    unfinished: dict[str, dict[str, str]] = {}
    places: dict[tuple[Path, str], str] = {}
    for name in names:
        folder, recipe = _place(name)
        other = places.setdefault((folder.resolve(), file_name(recipe)), name)
        if other in cells:
            raise InputError(f"{name} is named twice" + (f", as {other}, too" if other != name else ""))
        cells[name], unfinished[name] = _cells(folder, recipe)
    collections = dict.fromkeys(c for name in cells for c in (*cells[name], *unfinished[name]))
    kept = [collection for collection in collections if all(collection in found for found in cells.values())]
    left_out = {}
    for collection in collections:
        if lacking := [name for name, found in cells.items() if collection not in found]:
            why = unfinished[lacking[0]].get(collection, "has no cell there")
            left_out[collection] = f"{lacking[0]} {why}"
    if not kept:
        reasons = "; ".join(f"{collection}: {why}" for collection, why in left_out.items())
        raise InputError(f"there is no collection that all of {', '.join(names)} were measured on: {reasons}")
    read = {name: {one: read_part(found[one]) for one in kept} for name, found in cells.items()}
    return read, left_out


def read_part(cell: Path) -> PartScores:
    """The scores of a finished cell.

    Raises:
        InputError: it was kept without its rankings, has an order and no scores, documents failed, or its
            files do not belong together.
    """
    record = read_json_object(cell / CELL)
    runs = sorted(cell.glob(f"*/{RANKINGS}"))
    if len(runs) != 1:
        found = "no" if not runs else f"{len(runs)} files"
        raise InputError(
            f"{cell} holds {found} {RANKINGS}: a cell that was copied without it, or into another one, must "
            f"be measured again, into another folder"
        )
    scores = dict(_scores(runs[0]))
    qrels = read_judgements(runs[0].with_name(QRELS))
    values = record["values"]
    ranked = {query: list(found) for query, found in scores.items()}
    judged = {query: qrels.get(query, {}) for query in values}
    measured = measure(ranked, judged, (MEASURE,)).per_query[MEASURE]
    wrong = [query for query in values if not math.isclose(measured[query], values[query], abs_tol=1e-6)]
    if others := [*wrong, *(ranked.keys() - values.keys())]:
        raise InputError(
            f"{runs[0]} and {QRELS} do not give what {CELL} says, as of query {others[0]!r}: they were cut "
            f"or come from elsewhere; measure the cell again, into another folder"
        )
    in_order = {query: values[query] for query in dict.fromkeys([*ranked, *values])}
    return PartScores(scores, qrels, in_order, record.get("made of"))


def _place(name: str) -> tuple[Path, str]:
    """Folder and recipe of `ZOO:RECIPE`; either may hold a colon itself."""
    colons = [i for i, character in enumerate(name) if character == ":" and 0 < i < len(name) - 1]
    for i in reversed(colons):
        if Path(name[:i]).is_dir():
            return Path(name[:i]), name[i + 1 :]
    if not colons:
        raise InputError(f"a part is written ZOO:RECIPE, as in zoo-smollm2:qlm, but got {name!r}")
    raise InputError(f"there is no folder {name[: colons[-1]]!r}, which {name!r} names as a zoo")


def _cells(folder: Path, recipe: str) -> tuple[dict[str, Path], dict[str, str]]:
    """By collection the recipe's finished cells, and why each of its others is no part."""
    found: dict[str, Path] = {}
    unfinished: dict[str, str] = {}
    for cell in sorted(folder.glob(f"*/{file_name(recipe)}")):
        record = read_json_object(cell / CELL) if (cell / CELL).is_file() else {}
        if not record.get("final"):
            unfinished[cell.parent.name] = "is not finished there"
        elif not isinstance(record.get("values"), dict):
            unfinished[cell.parent.name] = f"has no values there ({record.get('why')})"
        else:
            found[cell.parent.name] = cell
    if not found and not unfinished:
        there = sorted({cell.parent.name for cell in folder.glob(f"*/*/{CELL}")})
        has = f"there are: {', '.join(there)}" if there else "and of no other recipe"
        raise InputError(f"{folder} holds no cell of {recipe!r}; {has}")
    return found, unfinished


def _scores(run: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Each query of a zoo's rankings with its documents' scores."""
    seen: set[str] = set()
    for where, row in json_rows(run, read_lines(run)):
        query, hits, failures = row.get("query_id"), row.get("hits"), row.get("failures")
        if not isinstance(query, str) or not isinstance(hits, list) or not isinstance(failures, list):
            raise InputError(f"{where}: expected 'query_id', 'hits' and 'failures', as a zoo writes them")
        if query in seen:
            raise InputError(f"{where}: query {query!r} was there before")
        seen.add(query)
        if row.get("score_kind") == "rank":
            raise InputError(
                f"{run.parents[1]} puts documents in order and gives them no scores to be added up: leave "
                f"this part out"
            )
        if failures:
            raise InputError(
                f"{where}: {number_of(len(failures), 'document')} of query {query!r} failed and "
                f"{verb_for(len(failures), 'have')} no score to be added up: leave this part out"
            )
        scores: dict[str, float] = {}
        for hit in hits:
            document, score = (hit.get("id"), hit.get("score")) if isinstance(hit, dict) else (None, None)
            if not isinstance(document, str) or document in scores:
                raise InputError(f"{where}: a hit has no 'id', or one that was there before: {document!r}")
            if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
                raise InputError(f"{where}: the score of {document!r} must be a number, but is {score!r}")
            scores[document] = float(score)
        yield query, scores
