"""A small writer of SVG for all plots of this room: bars, dots and lines on two axes.

Ours rather than matplotlib's: colours come from the page's style sheet, so dark mode and print need no second
image; marks know their query, so a click opens it; text stays text; a plot is 5 KB rather than 50; and the
extra needs nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup, escape

from limrank_plugins.pages import page_file

Attribute = str | float | int

# One plot: outer size and the room for axes, in the units of its viewBox.
WIDTH, HEIGHT = 300.0, 224.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 38.0


def tag(name: str, *children: str, **attributes: Attribute) -> Markup:
    """An element; everything but Markup is escaped. `class_` is `class`, `data_query` is `data-query`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_number(value)}"' for key, value in attributes.items()
    )
    inner = "".join(str(escape(child)) for child in children)
    return Markup(f"<{name}{written}>{inner}</{name}>" if children else f"<{name}{written}/>")


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: from a value to a place.

    Attributes:
        label: what it is of.
        low, high: the values at its two ends.
        ticks: values that are written, with their texts.
        log: logarithmic.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def share(self, value: float) -> float:
        """How far along a value lies, 0 to 1."""
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def turned(self) -> Axis:
        """The axis the other way round: rank 1 is at the top."""
        return replace(self, low=self.high, high=self.low)


@dataclass(slots=True)
class Plot:
    """Two axes and what is drawn between them; marks are added in drawing order.

    Attributes:
        id: the element's, unique in the page.
        title: its accessible name.
        description: what it shows, in words and numbers.
        x, y: the axes.
        height: of the whole.
        left: room for the y axis.
    """

    id: str
    title: str
    description: str
    x: Axis
    y: Axis
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    marks: list[Markup] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        """The place of a value of the x axis."""
        return self.left + self.x.share(value) * (self.width - self.left - RIGHT)

    def at_y(self, value: float) -> float:
        """The place of a value of the y axis; it grows upwards."""
        return self.height - BOTTOM - self.y.share(value) * (self.height - TOP - BOTTOM)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A line between two points of the axes."""
        self.marks.append(
            tag("line", x1=self.at_x(x1), y1=self.at_y(y1), x2=self.at_x(x2), y2=self.at_y(y2), class_=kind)
        )

    def bar(
        self, x1: float, x2: float, y1: float, y2: float, kind: str, text: str, **more: Attribute
    ) -> None:
        """A rectangle between two corners of the axes, with what it says when it is pointed at."""
        low, high = sorted((self.at_y(y1), self.at_y(y2)))
        left, right = self.at_x(x1), self.at_x(x2)
        size = {"x": left, "y": low, "width": right - left, "height": max(high - low, 0.75)}
        self.marks.append(tag("rect", tag("title", text), class_=kind, **size, **more))

    def dot(self, x: float, y: float, radius: float, kind: str, text: str, **more: Attribute) -> None:
        """A circle, with what it says when it is pointed at."""
        place = {"cx": self.at_x(x), "cy": self.at_y(y), "r": radius}
        self.marks.append(tag("circle", tag("title", text), class_=kind, **place, **more))

    def words(self, left: float, base: float, text: str) -> None:
        """Text that begins at a place in the units of the viewBox."""
        self.marks.append(tag("text", text, x=left, y=base))

    def steps(self, values: Sequence[float], kind: str) -> None:
        """Bars from 0 that touch, one for each unit of the x axis, as one outline."""
        points = [
            f"{_number(self.at_x(x))},{_number(self.at_y(value))}"
            for place, value in enumerate(values)
            for x in (place, place + 1)
        ]
        ground = [f"{_number(self.at_x(x))},{_number(self.at_y(0))}" for x in (len(values), 0)]
        self.marks.append(tag("polygon", points=" ".join([*points, *ground]), class_=kind))

    def markup(self) -> Markup:
        """The whole plot. Its marks are hidden from screen readers, which get title and description."""
        frame = [self._ticks(self.x, True), self._ticks(self.y, False)]
        return tag(
            "svg",
            tag("title", self.title, id=f"{self.id}-title"),
            tag("desc", self.description, id=f"{self.id}-description"),
            tag("g", *frame, *self.marks, aria_hidden="true"),
            viewBox=f"0 0 {_number(self.width)} {_number(self.height)}",
            role="img",
            class_="plot",
            aria_labelledby=f"{self.id}-title",
            aria_describedby=f"{self.id}-description",
        )

    def _ticks(self, axis: Axis, across: bool) -> Markup:
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        tags = []
        for value, text in axis.ticks:
            if across:
                place = self.at_x(value)
                tags.append(tag("line", x1=place, y1=TOP, x2=place, y2=bottom, class_="grid"))
                tags.append(tag("text", text, x=place, y=bottom + 14, text_anchor="middle"))
            else:
                place = self.at_y(value)
                tags.append(tag("line", x1=self.left, y1=place, x2=right, y2=place, class_="grid"))
                tags.append(tag("text", text, x=self.left - 6, y=place + 3.5, text_anchor="end"))
        if across:
            middle = (self.left + right) / 2
            tags.append(
                tag("text", axis.label, x=middle, y=self.height - 6, text_anchor="middle", class_="label")
            )
        elif axis.label:
            turned = f"translate(11 {_number((TOP + bottom) / 2)}) rotate(-90)"
            tags.append(tag("text", axis.label, transform=turned, text_anchor="middle", class_="label"))
        return tag("g", *tags)


def standalone(title: str, plots: Sequence[Plot]) -> str:
    """An SVG file: a title above, the plots side by side, the style inside."""
    left, parts = 0.0, []
    for plot in plots:
        size = {"x": left, "y": 24.0, "width": plot.width, "height": plot.height}
        parts.append(tag("svg", plot.markup(), **size))
        left += plot.width + 24
    width, height = left - 24, 24 + max(plot.height for plot in plots)
    drawing = tag(
        "svg",
        tag("title", title),
        tag("style", Markup(page_file("limrank_plugins.pages", "plot.css"))),
        tag("rect", width="100%", height="100%", style="fill: var(--card)"),
        tag("text", title, x=width / 2, y=17.0, text_anchor="middle", class_="heading"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=1.5 * width,
        height=1.5 * height,
    )
    return f"{drawing}\n"


def linear(label: str, low: float, high: float) -> Axis:
    """An axis with four to eight round ticks; its ends are moved outwards to hold both values."""
    span = high - low or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 8)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [(i * step, f"{i * step:.{decimals}f}".replace("-", "−")) for i in range(first, last + 1)]
    return Axis(label, first * step, last * step, ticks)


def ranks(label: str, depth: int) -> Axis:
    """An axis of ranks 1 to `depth`, logarithmic, with a place beyond for what is in no list."""
    beyond = unranked(depth)
    ticks = [(t, str(t)) for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if t <= depth]
    return Axis(label, 0.85, beyond * 1.15, [*ticks, (beyond, "none")], log=True)


def unranked(depth: int) -> float:
    """Where an axis of ranks has what is in no list."""
    return max(3.0, depth * 2.2)


def _number(value: Attribute) -> str:
    if isinstance(value, str):
        return str(escape(value))
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
