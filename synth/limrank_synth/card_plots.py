"""The card's plots: one PNG for each thing to see, drawn without a display."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.errors import require
from limrank_plugins.outputs import naming
from limrank_synth.markdown import NOT_GIVEN
from limrank_synth.records import DIFFICULTIES
from limrank_synth.row_statistics import LENGTHS, Statistics, quantile
from limrank_synth.savings import Savings

_BLUE, _ORANGE, _GREY = "#3b6ea5", "#d9822b", "#8a8f98"
_SHOWN = 30


def draw(
    folder: Path, statistics: Statistics, stages: Sequence[tuple[str, int, int]], costs: Savings | None
) -> dict[str, str]:
    """Draw what there is to draw into a folder that exists.

    Args:
        folder: gets the plots.
        statistics: of the rows.
        stages: name, items in, items out; in their order; may be empty.
        costs: of the set; None for no plot of them.

    Returns:
        What each plot shows, by its file's name.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = require("matplotlib.figure", "synth", "the plots of a dataset card")
    drawn: dict[str, str] = {}

    def new_plot(name: str, title: str, height: float = 3.2, panels: int = 1) -> tuple[Any, list[Any]]:
        plot = figure.Figure(figsize=(7.2, height), dpi=120, layout="constrained")
        axes = plot.subplots(1, panels, squeeze=False)[0]
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
        plot.suptitle(title, fontsize=11)
        drawn[name] = title
        return plot, list(axes)

    def save(plot: Any, name: str) -> None:
        with warnings.catch_warnings():
            # A domain may be written in a script that the font lacks: boxes, but no reason to stop.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            # No date and no version in the file: equal sets have equal plots.
            with naming(folder / name):
                plot.savefig(folder / name, metadata={"Software": None})

    if statistics.rows:
        plot, (axis,) = new_plot("labels.png", "Label ratio", 2.2)
        _labels(axis, statistics)
        save(plot, "labels.png")

        # Rank1-style rows say nothing about themselves: one long bar for them would flatten all others.
        domains = [(name, number) for name, number in statistics.domains.most_common() if name][:_SHOWN]
        if domains:
            title = _of("domain", statistics.domains)
            plot, (axis,) = new_plot("domains.png", title, 1.2 + 0.22 * len(domains))
            _bars(axis, domains)
            save(plot, "domains.png")

        plot, axes = new_plot("lengths.png", "Lengths in words", 2.8, len(LENGTHS))
        for axis, name in zip(axes, LENGTHS, strict=True):
            _histogram(axis, name, statistics.lengths[name])
        axes[0].set_ylabel("rows")
        save(plot, "lengths.png")

        difficulties = [(name, statistics.difficulties[name]) for name in DIFFICULTIES]
        if any(number for _, number in difficulties):
            plot, (axis,) = new_plot("difficulty.png", _of("difficulty", statistics.difficulties), 2.2)
            _bars(axis, difficulties)
            save(plot, "difficulty.png")
    if stages:
        plot, (axis,) = new_plot("acceptance.png", "Acceptance by stage", 1.2 + 0.3 * len(stages))
        _acceptance(axis, stages)
        save(plot, "acceptance.png")
    if costs is not None:
        plot, (axis,) = new_plot("cost.png", "GPU-hours of training a 7B model (estimate, see below)", 2.0)
        _cost(axis, costs)
        save(plot, "cost.png")
    return drawn


def _named(text: str) -> str:
    return textwrap.shorten(text, 40, placeholder="…") or NOT_GIVEN


def _names(axis: Any, names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)))
    for label in axis.set_yticklabels(names, fontsize=8):
        label.set_parse_math(False)  # a "$" in a name is a "$"
    axis.invert_yaxis()
    axis.tick_params(axis="x", labelsize=8)


def _of(what: str, counts: Mapping[str, int]) -> str:
    total, silent = sum(counts.values()), counts.get("", 0)
    return f"Rows by {what}" + (f" ({total - silent:,} of {total:,} say)" if silent else "")


def _bars(axis: Any, counted: Sequence[tuple[str, int]]) -> None:
    total = sum(number for _, number in counted)
    bars = axis.barh(range(len(counted)), [number for _, number in counted], color=_BLUE)
    shares = [f"{number:,} ({number / total:.0%})" for _, number in counted]
    axis.bar_label(bars, shares, padding=3, fontsize=8)
    _names(axis, [_named(name) for name, _ in counted])
    axis.margins(x=0.18, y=0.02)
    axis.set_xlabel("rows", fontsize=8)


def _labels(axis: Any, statistics: Statistics) -> None:
    parts = sorted({part for part, _ in statistics.labels})
    for label, colour, name in ((True, _BLUE, "relevant"), (False, _ORANGE, "irrelevant")):
        sizes = [sum(statistics.labels[part, other] for other in (True, False)) for part in parts]
        shares = [statistics.labels[part, label] / size for part, size in zip(parts, sizes, strict=True)]
        left = [0.0 if label else 1 - share for share in shares]
        bars = axis.barh(range(len(parts)), shares, left=left, color=colour, label=name, height=0.6)
        counts = [
            f"{statistics.labels[part, label]:,}" if statistics.labels[part, label] else "" for part in parts
        ]
        axis.bar_label(bars, counts, label_type="center", color="white", fontsize=8)
    _names(axis, parts)
    axis.set_xlim(0, 1)
    axis.set_ylim(len(parts) - 0.5, -0.5)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, frameon=False)


def _histogram(axis: Any, name: str, lengths: Mapping[int, int]) -> None:
    top = max(quantile(lengths, 0.995), 1)  # a few very long ones would flatten all others
    width = max(1, -(-top // 30))
    counts = [0] * (top // width + 1)
    for length, number in lengths.items():
        counts[min(length, top) // width] += number
    axis.bar([i * width for i in range(len(counts))], counts, width=width, align="edge", color=_BLUE)
    median = quantile(lengths, 0.5)
    axis.axvline(median, color=_ORANGE, linewidth=1.2)
    axis.set_title(f"{name}, median {median}", fontsize=9)
    axis.tick_params(labelsize=8)


def _acceptance(axis: Any, stages: Sequence[tuple[str, int, int]]) -> None:
    shares = [out / entered if entered else 1.0 for _, entered, out in stages]
    axis.barh(range(len(stages)), [1.0] * len(stages), color="#e6e8eb")
    axis.barh(range(len(stages)), shares, color=_BLUE)
    for i, ((_, entered, out), share) in enumerate(zip(stages, shares, strict=True)):
        axis.text(1.01, i, f"{share:.1%}  {out:,} of {entered:,}", va="center", fontsize=8)
    _names(axis, [_named(name) for name, _, _ in stages])
    axis.set_xlim(0, 1.32)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])


def _cost(axis: Any, costs: Savings) -> None:
    names = [f"this set ({costs.rows:,} rows)", "Rank1's set (386,336 rows)"]
    bars = axis.barh(range(2), [costs.own, costs.rank1], color=[_BLUE, _GREY], height=0.6)
    axis.bar_label(bars, [f"{costs.own:.1f} h", f"{costs.rank1:.1f} h"], padding=3, fontsize=8)
    _names(axis, names)
    axis.margins(x=0.15)
    axis.set_xlabel("H100-hours", fontsize=8)
