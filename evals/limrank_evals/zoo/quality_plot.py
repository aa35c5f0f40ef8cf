"""The plot of a zoo: what each recipe is worth over the tokens it takes, beside the first stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limrank_evals.reporting.svg import Axis, Plot, linear, standalone
from limrank_evals.reporting.text_policy import clean
from limrank_evals.zoo.cell import MEASURE
from limrank_evals.zoo.zoo_row import Row

_WIDTH, _HEIGHT, _LINE, _LETTER = 520.0, 400.0, 12.0, 5.6


def draw_zoo(title: str, rows: Mapping[str, Sequence[Row]]) -> str:
    """The SVG file: a plot for each collection whose cells have numbers."""
    plots = [_plot(number, name, of) for number, (name, of) in enumerate(rows.items())]
    drawn = [plot for plot in plots if plot is not None]
    return standalone(clean(title), drawn or [_empty()])


def _plot(number: int, collection: str, rows: Sequence[Row]) -> Plot | None:
    marked = [(row, row.tokens, row.quality) for row in rows]
    points = [
        (row, max(1.0, tokens), quality) for row, tokens, quality in marked if quality and tokens is not None
    ]
    first = next((row.quality for row in rows if row.is_first and row.quality), None)
    if not points:
        return None
    ends = [100 * end for _, _, quality in points for end in (quality.mean, *(quality.interval or ()))]
    ends += [100 * first.mean] if first else []
    x = _tokens([tokens for _, tokens, _ in points])
    plot = Plot(
        f"zoo-{number}",
        f"{MEASURE} of every recipe on {clean(collection)}, over tokens",
        "; ".join(f"{row.name}: {100 * q.mean:.1f} at {t:,.0f} tokens" for row, t, q in points),
        x,
        linear(f"{clean(collection)}: {MEASURE} × 100", min(ends), max(ends)),
        _WIDTH,
        _HEIGHT,
    )
    taken: list[tuple[float, float, float]] = []
    if first is not None:
        plot.line(x.low, 100 * first.mean, x.high, 100 * first.mean, "zero")
        _name(plot, "first stage", x.low, 100 * first.mean, taken)
    for row, tokens, quality in sorted(points, key=lambda point: -point[2].mean):
        better = first is None or quality.mean > first.mean
        kind = "reference" if row.outcome.recipe == "mini" else "up" if better else "down"
        if quality.interval is not None:
            low, high = (100 * end for end in quality.interval)
            plot.line(tokens, low, tokens, high, f"whisker {kind}")
        plot.dot(tokens, 100 * quality.mean, 4.5, kind, f"{row.name}: {100 * quality.mean:.1f}")
        _name(plot, row.outcome.recipe, tokens, 100 * quality.mean, taken)
    return plot


def _name(plot: Plot, text: str, x: float, y: float, taken: list[tuple[float, float, float]]) -> None:
    """A name beside its place, moved down until it covers no other."""
    text = clean(text)
    room, place = _LETTER * len(text) + 4, plot.at_x(x)
    left = place + 7 if place + 7 + room < plot.width else place - 7 - room
    top = plot.at_y(y) - 3
    while any(
        left < right and start < left + room and abs(top - line) < _LINE for start, right, line in taken
    ):
        top += 2
    taken.append((left, left + room, top))
    plot.words(left, top, text)


def _tokens(values: Sequence[float]) -> Axis:
    """Logarithmic, with ticks at 1, 2 and 5 times a power of ten."""
    low, high = min(values) / 1.3, max(values) * 1.6
    ticks = [factor * 10**power for power in range(9) for factor in (1, 2, 5)]
    shown = [(float(tick), f"{tick:,}") for tick in ticks if low <= tick <= high]
    return Axis("tokens read and written for a query", low, high, shown, log=True)


def _empty() -> Plot:
    return Plot(
        "zoo-empty", "nothing was measured", "", linear("no recipe has a number", 0, 1), linear("", 0, 1)
    )
