"""What recipes of a zoo are worth together: weights are chosen on some queries and measured on others.

Scores are standardised within each query's list and added up, as recipe `fuse` does with `method="zscore"`.
The weights are chosen on the odd positions of each collection's queries and reported on the even ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from limrank_evals.comparison import USUAL, Comparison, Resampling, compare_values
from limrank_evals.measures import measure
from limrank_evals.stats import Interval, bootstrap_of_means
from limrank_evals.zoo.cell import MEASURE
from limrank_evals.zoo.part_scores import PartScores
from limrank_plugins.checks import finite_number
from limrank_plugins.errors import InputError
from limrank_plugins.wrappers.fuse import z_scores

GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""Weights that are tried."""

MOST_WEIGHT, MOST_FUSIONS = 1e6, 10_000


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
        tried: the weights that were tried for each but the first.
        chosen_on: the mean over collections at the odd positions: of the first part alone, and fused.
        collections: the even positions, by collection.
        interval: of the mean over collections of the differences at the even positions.
    """

    parts: tuple[str, ...]
    weights: tuple[float, ...]
    tried: tuple[float, ...]
    chosen_on: tuple[float, float]
    collections: Mapping[str, FusedCollection]
    interval: Interval | None

    @property
    def difference(self) -> float:
        """The mean over collections of the differences at the even positions."""
        return _mean([one.against.difference for one in self.collections.values()])

    @property
    def fused(self) -> float:
        """The mean over collections of the fusion at the even positions."""
        return _mean([one.against.second for one in self.collections.values()])

    @property
    def alone(self) -> tuple[float, ...]:
        """The same of each part alone."""
        columns = zip(*(one.alone for one in self.collections.values()), strict=True)
        return tuple(_mean(values) for values in columns)


def choose(
    parts: Mapping[str, Mapping[str, PartScores]],
    grid: Sequence[float] = GRID,
    resampling: Resampling = USUAL,
) -> Fusion:
    """Choose weights on the odd positions, and measure them on the even ones.

    Of equal weights the smaller ones are taken. Each collection that all parts have counts the same.

    Args:
        parts: by name; the first has weight 1.
        grid: the weights that are tried for each of the others, from 0 to a million.
        resampling: how intervals and tests are made.

    Raises:
        InputError: fewer than two parts, a weight that is none, too many fusions to be tried, no collection
            in common or with less than two queries, or other queries, documents or judgements under one
            part than under another.
    """
    if len(parts) < 2:
        raise InputError(f"a fusion needs two parts or more, but got {len(parts)}")
    grid = tuple(dict.fromkeys(finite_number("a weight", one, least=0, most=MOST_WEIGHT) for one in grid))
    others = len(parts) - 1
    if len(grid) ** others > MOST_FUSIONS:
        raise InputError(
            f"{len(grid)} weights for each of {others} parts are {len(grid) ** others:,} fusions, and at "
            f"most {MOST_FUSIONS:,} are tried: name fewer weights, or fewer parts"
        )
    first = next(iter(parts.values()))
    names = [name for name in first if all(name in part for part in parts.values())]
    if not names:
        raise InputError(f"there is no collection that all of {', '.join(parts)} were measured on")
    standard = {name: _standardised(name, {p: part[name] for p, part in parts.items()}) for name in names}
    odd = {name: list(first[name].values)[0::2] for name in names}
    even = {name: list(first[name].values)[1::2] for name in names}
    if short := [name for name in names if not even[name]]:
        raise InputError(
            f"{short[0]} has {len(odd[short[0]])} judged query, but weights are chosen on some and measured "
            f"on others"
        )

    def measured(name: str, weights: Sequence[float], queries: Sequence[str]) -> dict[str, float]:
        part = first[name]
        found = standard[name]
        ranked = {query: _ranked(found[query], weights) for query in queries if query in found}
        qrels = {query: part.qrels.get(query, {}) for query in queries}
        return dict(measure(ranked, qrels, (MEASURE,)).per_query[MEASURE])

    def mean(weights: Sequence[float]) -> float:
        return _mean([_mean(list(measured(name, weights, odd[name]).values())) for name in names])

    alone = (1.0, *[0.0] * others)
    tried = sorted(product(*[grid] * others), key=lambda weights: (sum(weights), weights))
    values = {(1.0, *weights): mean((1.0, *weights)) for weights in tried}
    chosen = max(values, key=lambda weights: values[weights])  # the first of equal ones
    collections = {}
    for name in names:
        of_parts = [{query: part[name].values[query] for query in even[name]} for part in parts.values()]
        fused = measured(name, chosen, even[name])
        collections[name] = FusedCollection(
            tuple(_mean(list(values.values())) for values in of_parts),
            compare_values(of_parts[0], fused, resampling),
        )
    differences = [[change.difference for change in one.against.changes] for one in collections.values()]
    interval = bootstrap_of_means(
        differences, level=resampling.level, resamples=resampling.resamples, seed=resampling.seed
    )
    return Fusion(tuple(parts), chosen, grid, (mean(alone), values[chosen]), collections, interval)


def _standardised(collection: str, parts: Mapping[str, PartScores]) -> dict[str, list[dict[str, float]]]:
    """By query, for each part its documents' standardised scores."""
    (first_name, first), *others = parts.items()
    standard = {}
    for name, part in others:
        if part.made_of != first.made_of:
            raise InputError(
                f"{collection} is not the same to {name} as to {first_name}: texts, first stage or "
                f"judgements differ; measure both with the same"
            )
        if missing := sorted(first.values.keys() ^ part.values.keys()):
            raise InputError(
                f"{collection}, query {missing[0]}: of {name} and {first_name} one has it and the other has "
                f"not: measure both with the same queries"
            )
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
