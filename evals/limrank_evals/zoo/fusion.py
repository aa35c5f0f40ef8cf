"""What recipes of a zoo are worth together: weights are chosen on some queries and measured on others.

Scores are standardised within each query's list and added up, as recipe `fuse` does with `method="zscore"`.
The weights are chosen on the odd positions of each collection's queries and reported on the even ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from limrank_evals.comparison import Comparison, Resampling, compare_values
from limrank_evals.evaluation.evaluation_folder import QRELS, RANKINGS
from limrank_evals.judgements import Qrels, read_judgements
from limrank_evals.measures import measure
from limrank_evals.stats import Interval, bootstrap_of_means
from limrank_evals.zoo.cell import CELL, MEASURE
from limrank_evals.zoo.collections import file_name
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, read_json_object, read_lines
from limrank_plugins.wording import number_of, verb_for
from limrank_plugins.wrappers.fuse import z_scores

GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""Weights that are tried."""


@dataclass(frozen=True, slots=True)
class PartScores:
    """A part's scores on one collection.

    Attributes:
        scores: for every query those of its documents, best first.
        qrels: the judgements beside them.
    """

    scores: Mapping[str, Mapping[str, float]]
    qrels: Qrels


@dataclass(frozen=True, slots=True)
class FusedCollection:
    """The even positions of a collection.

    Attributes:
        alone: the mean nDCG@10 of each part, in the order of the parts.
        against: the fusion beside the first part.
    """

    alone: tuple[float, ...]
    against: Comparison


@dataclass(frozen=True, slots=True)
class Fusion:
    """The parts, the weights that were chosen, and what they are worth.

    Attributes:
        parts: their names; the first has weight 1.
        weights: of each.
        chosen_on: the mean over collections at the odd positions: of the first part alone, and fused.
        collections: the even positions, by collection.
        interval: of the mean over collections of the differences at the even positions.
    """

    parts: tuple[str, ...]
    weights: tuple[float, ...]
    chosen_on: tuple[float, float]
    collections: Mapping[str, FusedCollection]
    interval: Interval | None

    @property
    def difference(self) -> float:
        """The mean over collections of the differences at the even positions."""
        return _mean([one.against.difference for one in self.collections.values()])


def read_part(name: str) -> dict[str, PartScores]:
    """The scores of `ZOO:RECIPE` by collection.

    Raises:
        InputError: there is no such cell with its rankings, it has an order and no scores, or documents
            failed.
    """
    folder, colon, recipe = name.rpartition(":")
    if not colon or not Path(folder).is_dir():
        raise InputError(f"a part is written ZOO:RECIPE, as in zoo-smollm2:qlm, but got {name!r}")
    found = {}
    for cell in sorted(Path(folder).glob(f"*/{file_name(recipe)}/{CELL}")):
        place = cell.parent
        if not read_json_object(cell).get("final"):
            raise InputError(f"{place} is not finished: give the command of the zoo again")
        runs = sorted(place.glob(f"*/{RANKINGS}"))
        if not runs:
            raise InputError(
                f"{place} holds no {RANKINGS}: the first stage has none, and a cell that was copied without "
                f"it must be measured again, into another folder"
            )
        scores = dict(_scores(runs[0], recipe))
        found[place.parent.name] = PartScores(scores, read_judgements(runs[0].with_name(QRELS)))
    if not found:
        raise InputError(f"{folder} holds no finished cell of {recipe!r}")
    return found


def _scores(run: Path, recipe: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Each query of a zoo's rankings with its documents' scores."""
    for _, row in json_rows(run, read_lines(run)):
        if row["score_kind"] == "rank":
            raise InputError(f"{recipe} puts documents in order and gives them no scores to be added up")
        if row["failures"]:
            failed = len(row["failures"])
            raise InputError(
                f"{run}: {number_of(failed, 'document')} of query {row['query_id']!r} failed and "
                f"{verb_for(failed, 'have')} no score to be added up"
            )
        yield row["query_id"], {hit["id"]: hit["score"] for hit in row["hits"]}


def choose(
    parts: Mapping[str, Mapping[str, PartScores]],
    grid: Sequence[float] = GRID,
    resampling: Resampling | None = None,
) -> Fusion:
    """Choose weights on the odd positions, and measure them on the even ones.

    Of equal weights the smaller ones are taken. Each collection that all parts have counts the same.

    Args:
        parts: by name; the first has weight 1.
        grid: the weights that are tried for each of the others.
        resampling: how intervals and tests are made.

    Raises:
        InputError: fewer than two parts, no collection in common or with less than two queries, or other
            documents under one part than under another.
    """
    resampling = Resampling() if resampling is None else resampling
    if len(parts) < 2:
        raise InputError("a fusion needs two parts or more")
    first = next(iter(parts.values()))
    names = [name for name in first if all(name in part for part in parts.values())]
    if not names:
        raise InputError(f"there is no collection that all of {', '.join(parts)} were measured on")
    standard = {name: _standardised(name, {p: part[name] for p, part in parts.items()}) for name in names}
    odd = {name: list(first[name].scores)[0::2] for name in names}
    even = {name: list(first[name].scores)[1::2] for name in names}
    if short := [name for name in names if not even[name]]:
        raise InputError(f"{short[0]} has one query, but weights are chosen on some and measured on others")

    def measured(name: str, weights: Sequence[float], queries: Sequence[str]) -> dict[str, float]:
        part = first[name]
        ranked = {query: _ranked(standard[name][query], weights) for query in queries}
        qrels = {query: part.qrels[query] for query in queries}
        return dict(measure(ranked, qrels, (MEASURE,)).per_query[MEASURE])

    def mean(weights: Sequence[float]) -> float:
        return _mean([_mean(list(measured(name, weights, odd[name]).values())) for name in names])

    others = len(parts) - 1
    alone = (1.0, *[0.0] * others)
    tried = sorted(product(*[grid] * others), key=lambda weights: (sum(weights), weights))
    values = {(1.0, *weights): mean((1.0, *weights)) for weights in tried}
    chosen = max(values, key=lambda weights: values[weights])  # the first of equal ones
    collections = {}
    for name in names:
        of_parts = [
            measured(name, [float(i == place) for i in range(len(parts))], even[name])
            for place in range(len(parts))
        ]
        fused = measured(name, chosen, even[name])
        collections[name] = FusedCollection(
            tuple(_mean(list(values.values())) for values in of_parts),
            compare_values(of_parts[0], fused, resampling),
        )
    differences = [[change.difference for change in one.against.changes] for one in collections.values()]
    interval = bootstrap_of_means(
        differences, level=resampling.level, resamples=resampling.resamples, seed=resampling.seed
    )
    return Fusion(tuple(parts), chosen, (mean(alone), values[chosen]), collections, interval)


def _standardised(collection: str, parts: Mapping[str, PartScores]) -> dict[str, list[dict[str, float]]]:
    """By query, for each part its documents' standardised scores."""
    (first_name, first), *others = parts.items()
    standard = {}
    for query, scores in first.scores.items():
        for name, part in others:
            if part.scores.get(query, {}).keys() != scores.keys():
                raise InputError(
                    f"{collection}, query {query}: {name} ranks other documents than {first_name}: measure "
                    f"both with the same first stage, depth and queries"
                )
        own = [part.scores[query] for part in parts.values()]
        standard[query] = [dict(zip(one, z_scores(list(one.values())), strict=True)) for one in own]
    return standard


def _ranked(scores: Sequence[Mapping[str, float]], weights: Sequence[float]) -> list[str]:
    """The documents by the weighted sum; equal ones as the first part has them."""
    totals = {
        document: sum(weight * own[document] for weight, own in zip(weights, scores, strict=True))
        for document in scores[0]
    }
    return sorted(totals, key=lambda document: -totals[document])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
