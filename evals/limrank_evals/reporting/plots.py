"""The report's plots of one split, and the one of all splits' differences.

Every mark that stands for one query carries its number in the page, which opens it when it is clicked.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from markupsafe import Markup

from limrank_evals.comparison import Change, Comparison
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.reporting.interval_plot import IntervalMark, interval_plot, signed
from limrank_evals.reporting.query_outcomes import QueryOutcome
from limrank_evals.reporting.svg import Axis, Plot, linear, ranks, unranked
from limrank_evals.reporting.text_policy import clean
from limrank_evals.stats import Interval
from limrank_evals.stats.paired import WITHIN
from limrank_plugins.wording import number_of, verb_for

# Beyond so many queries the bars of a plot are thinner than a pixel, and one outline says the same.
MOST_BARS = 700
_BINS = 20


def differences(name: str, rows: Sequence[tuple[str, float, Interval | None]], measure: str) -> Markup:
    """What reranking changed, split by split, with intervals; `rows` are drawn from the top."""
    title, label = f"Difference in {measure} by split", f"{measure} × 100: reranked − first stage"
    marks = [IntervalMark(clean(split), mean, i, kind_apart(mean, i)) for split, mean, i in rows]
    return interval_plot(name, title, label, marks, zero=True).markup()


def gains(name: str, measure: str, comparison: Comparison, numbers: Mapping[str, int]) -> Markup:
    """Every query's difference, from the greatest gain to the greatest loss."""
    changes = comparison.changes[::-1]
    values = [change.difference * 100 for change in changes]
    won, tied, lost = comparison.record
    plot = Plot(
        f"gains-{name}",
        f"Difference in {measure} of every query, sorted",
        f"{number_of(won, 'query')} gained, {tied} stayed, {lost} lost; from {signed(max(values) / 100)} "
        f"to {signed(min(values) / 100)}.",
        Axis(f"{number_of(len(values), 'query')}, best gain first", 0.0, float(len(values)), []),
        linear(f"Δ {measure} × 100", min(0.0, *values), max(0.0, *values)),
    )
    if len(changes) > MOST_BARS:
        plot.steps(values, "steps")
    else:
        for place, change in enumerate(changes):
            text = f"{clean(change.query)}: {signed(change.difference)}"
            more = _linked(numbers, change.query)
            plot.bar(
                place, place + 0.86, 0, change.difference * 100, kind_of(change.difference), text, **more
            )
    plot.line(0, 0, len(values), 0, "zero")
    return plot.markup()


def scatter(name: str, measure: str, comparison: Comparison, numbers: Mapping[str, int]) -> Markup:
    """Every query before and after; above the diagonal it gained. Equal ones are one larger dot."""
    places: dict[tuple[float, float], list[Change]] = {}
    for change in comparison.changes:
        places.setdefault((round(change.first * 100, 1), round(change.second * 100, 1)), []).append(change)
    values = [value for place in places for value in place]
    low, high = min(0.0, *values), max(100.0, *values)
    won, tied, lost = comparison.record
    plot = Plot(
        f"scatter-{name}",
        f"{measure} of every query before and after",
        f"{number_of(won, 'query')} {verb_for(won, 'lie')} above the diagonal, {tied} on it, {lost} below. "
        f"The means are {comparison.first * 100:.1f} and {comparison.second * 100:.1f}.",
        linear("first stage", low, high),
        linear("reranked", low, high),
    )
    plot.line(plot.x.low, plot.x.low, plot.x.high, plot.x.high, "zero")
    for (before, after), changes in sorted(places.items(), key=lambda item: -len(item[1])):
        label = (
            clean(changes[0].query)
            if len(changes) == 1
            else f"{len(changes)} queries, e.g. {clean(changes[0].query)}"
        )
        plot.dot(
            before,
            after,
            _radius(len(changes)),
            kind_of(after - before),
            f"{label}: {before:.1f} → {after:.1f}",
            **_linked(numbers, changes[0].query),
        )
    return plot.markup()


def movement(name: str, queries: Sequence[QueryOutcome], numbers: Mapping[str, int]) -> Markup | None:
    """The ranks of all relevant documents before and after; None where no list has one."""
    places: dict[tuple[int | None, int | None], list[str]] = {}
    for query in queries:
        for move in query.moves:
            if move.relevant and (move.before is not None or move.after is not None):
                places.setdefault((move.before, move.after), []).append(query.id)
    if not places:
        return None
    depth = max(rank for place in places for rank in place if rank is not None)
    none = unranked(depth)
    moved = Counter[str]()
    for (before, after), ids in places.items():
        moved[kind_of((before or none) - (after or none))] += len(ids)
    plot = Plot(
        f"movement-{name}",
        "Ranks of relevant documents before and after",
        f"{number_of(moved['up'], 'relevant document')} moved up, {moved['same']} stayed, "
        f"{moved['down']} moved down.",
        ranks("rank in the first stage", depth),
        ranks("rank after reranking", depth).turned(),
    )
    plot.line(1, 1, none, none, "zero")
    for (before, after), ids in sorted(places.items(), key=lambda item: -len(item[1])):
        x, y = before or none, after or none
        text = f"{len(ids)} relevant: {before or 'none'} → {after or 'none'}, e.g. query {clean(ids[0])}"
        plot.dot(x, y, _radius(len(ids)), kind_of(x - y), text, **_linked(numbers, ids[0]))
    return plot.markup()


def scores(name: str, queries: Sequence[QueryOutcome], records: Sequence[Mapping[str, Any]]) -> Markup | None:
    """How the scores of relevant documents and of all others are distributed, each of its own number.

    None where a score does not mean the same in two lists, or there are none.
    """
    if not records or not all(record["comparable"] for record in records):
        return None
    values_of: dict[bool, list[float]] = {True: [], False: []}
    for query in queries:
        for move in query.moves:
            if move.score is not None:
                values_of[move.relevant].append(move.score)
    both = values_of[True] + values_of[False]
    if not both:
        return None
    inside = min(both) >= 0 and max(both) <= 1
    x = linear(
        f"score ({clean(str(records[0]['score_kind']))})", *((0.0, 1.0) if inside else (min(both), max(both)))
    )
    width = (x.high - x.low) / _BINS
    shares = {
        relevant: _shares([int((value - x.low) / width) for value in values])
        for relevant, values in values_of.items()
        if values
    }
    plot = Plot(
        f"scores-{name}",
        "Scores of relevant documents and of all others",
        "; ".join(
            f"{_WHICH[relevant]}: {number_of(len(values), 'document')}, median {median(values):.2f}"
            for relevant, values in values_of.items()
            if values
        ),
        x,
        linear("% of its kind", 0.0, max(max(share) for share in shares.values())),
    )
    for place in range(_BINS):
        low = x.low + place * width
        for offset, relevant in ((0.08, False), (0.5, True)):
            if shares.get(relevant) and shares[relevant][place]:
                text = f"{_WHICH[relevant]}, {low:.2f} to {low + width:.2f}: {shares[relevant][place]:.1f} %"
                left = low + offset * width
                plot.bar(left, left + 0.42 * width, 0, shares[relevant][place], _KINDS[relevant], text)
    return plot.markup()


def plots_of(
    name: str, evaluated: SplitEvaluation, queries: Sequence[QueryOutcome], numbers: Mapping[str, int]
) -> list[tuple[str, str, Markup]]:
    """All plots of a split: what each is called, how it is read, the drawing. `name` is for their ids."""
    measure = evaluated.measures[0]
    drawings = []
    comparison = evaluated.comparisons.get(measure)
    if comparison is not None:
        drawings.append(
            (
                "Gain of every query",
                "Each bar is a query; click it.",
                gains(name, measure, comparison, numbers),
            )
        )
        image = scatter(name, measure, comparison, numbers)
        drawings.append(("Before and after", "Above the line a query gained.", image))
        moved = movement(name, queries, numbers)
        if moved is not None:
            drawings.append(("Relevant documents", "Above the line a document moved up.", moved))
    spread = scores(name, queries, evaluated.records)
    if spread is not None:
        drawings.append(("Scores", "Green: relevant; grey: all others.", spread))
    return drawings


_WHICH = {True: "relevant", False: "others"}
_KINDS = {True: "up", False: "same"}


def _shares(places: Sequence[int]) -> list[float]:
    """How many percent of the values are in each bin; the last one holds its upper end."""
    counts = Counter(min(place, _BINS - 1) for place in places)
    return [100 * counts[place] / len(places) for place in range(_BINS)]


def kind_of(difference: float) -> str:
    """`up`, `down` or `same`, as the style sheet colours them."""
    return "up" if difference > WITHIN else "down" if difference < -WITHIN else "same"


def kind_apart(difference: float, interval: Interval | None) -> str:
    """`kind_of`, but `same` where the interval holds 0 or is not known."""
    sure = interval is not None and (interval.low > 0 or interval.high < 0)
    return kind_of(difference) if sure else "same"


def _radius(count: int) -> float:
    return min(2.6 * math.pow(count, 0.4), 12.0)


def _linked(numbers: Mapping[str, int], query: str) -> dict[str, int]:
    return {"data_query": numbers[query]} if query in numbers else {}
