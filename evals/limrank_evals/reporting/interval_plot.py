"""One row a system or split: a dot at the mean, a line over its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from limrank_evals.reporting.svg import Axis, Plot, linear
from limrank_evals.stats import Interval


class IntervalMark(NamedTuple):
    """One row; `kind` is the class that the style sheet colours."""

    label: str
    value: float
    interval: Interval | None
    kind: str


def interval_plot(
    name: str,
    title: str,
    x_label: str,
    rows: Sequence[IntervalMark],
    *,
    zero: bool = False,
    width: float = 860.0,
) -> Plot:
    """A plot of values times 100 with their intervals; rows are drawn from the top.

    Args:
        name: the element's id.
        title: its accessible name.
        x_label: what the values are.
        rows: at least one.
        zero: the values are differences: the axis holds 0, with a line, and numbers have signs.
        width: of the whole, in the units of the viewBox.
    """
    ends = [end * 100 for row in rows for end in (row.value, *(row.interval or ()))] + [0.0] * zero
    count = len(rows)
    places = [(count - i - 0.5, row.label) for i, row in enumerate(rows)]
    room = min(24.0 + 6.4 * max(len(row.label) for row in rows), 300.0)
    texts = [_described(row, sign=zero) for row in rows]
    x, y = linear(x_label, min(ends), max(ends)), Axis("", 0.0, float(count), places)
    plot = Plot(name, title, "; ".join(texts), x, y, width, 62.0 + 26 * count, room)
    if zero:
        plot.line(0, 0, 0, count, "zero")
    for row, text, (height, _) in zip(rows, texts, places, strict=True):
        if row.interval is not None:
            low, high = (100 * end for end in row.interval)
            plot.line(low, height, high, height, f"whisker {row.kind}")
        plot.dot(row.value * 100, height, 5.0, row.kind, text)
    return plot


def signed(value: float) -> str:
    """A difference times 100, with its sign."""
    return f"{value * 100:+.1f}".replace("-", "−")


def _described(row: IntervalMark, *, sign: bool) -> str:
    def shown(value: float) -> str:
        return signed(value) if sign else f"{value * 100:.1f}"

    between = "" if row.interval is None else f" ({' to '.join(map(shown, row.interval))})"
    return f"{row.label}: {shown(row.value)}{between}"
