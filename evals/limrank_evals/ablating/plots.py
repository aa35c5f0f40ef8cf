"""The picture of an ablation: every arm's score with its interval, and scores over the number of rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limrank_evals.ablating.arms import Arm
from limrank_evals.ablating.comparing import Line, Panel
from limrank_evals.ablating.reporting import Report
from limrank_plugins.errors import require
from limrank_plugins.files import write_whole

PNG = "arms.png"
_BLUE, _ORANGE, _GREY = "#3b6ea5", "#d9822b", "#8a8f98"


def draw_arms(folder: Path, report: Report) -> Path:
    """Draw the first measure; on the right, arms that differ in their number of rows alone.

    Args:
        folder: gets `arms.png`.
        report: with at least one finished arm.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", "training", "the plot of an ablation")
    from matplotlib.figure import Figure

    panel = report.panels[0]
    sizes = _sizes(report, panel)
    figure = Figure(
        figsize=(6.0 + (4.0 if sizes else 0.0), 1.4 + 0.34 * len(panel.lines)), dpi=130, layout="constrained"
    )
    axes: Any = figure.subplots(1, 2 if sizes else 1, squeeze=False)[0]
    lines = panel.lines[::-1]  # drawn from below
    for place, line in enumerate(lines):
        _mark(axes[0], line, place, report.ablation.reference)
    axes[0].set_yticks(range(len(lines)), [line.arm for line in lines])
    axes[0].set_xlabel(f"{panel.measure}, times 100")
    if sizes:
        rows, found = zip(*sizes, strict=True)
        axes[1].errorbar(
            rows, [100 * line.mean for line in found], yerr=_spread(found), marker="o", capsize=3, color=_BLUE
        )
        axes[1].set_xscale("log")
        axes[1].set_xticks(rows, [f"{number:,}" for number in rows], minor=False)
        axes[1].minorticks_off()
        axes[1].set_xlabel("training rows")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    figure.suptitle(" ".join(filter(None, (report.ablation.name, panel.split))), fontsize=11)
    held = io.BytesIO()
    # No version in the file: equal reports have equal pictures.
    figure.savefig(held, format="png", metadata={"Software": None})
    write_whole(folder / PNG, held.getvalue())
    return folder / PNG


def _mark(axis: Any, line: Line, place: int, reference: str) -> None:
    colour = _ORANGE if line.arm == reference else _BLUE if line.comparison is not None else _GREY
    if line.interval is not None:
        ends = [100 * line.interval.low, 100 * line.interval.high]
        axis.plot(ends, [place, place], color=colour, linewidth=1.4)
    axis.plot([100 * line.mean], [place], marker="o", color=colour)


def _sizes(report: Report, panel: Panel) -> list[tuple[int, Line]]:
    """Arms that differ from the reference in their number of rows alone, by that; () for fewer than 2."""

    def kind(arm: Arm) -> tuple[Any, ...]:
        return (
            sorted(arm.rows.items(), key=str),
            arm.without,
            arm.refill,
            arm.plan,
            sorted(arm.changes.items()),
        )

    wanted = kind(report.ablation.arm(report.ablation.reference))
    same = {arm.name for arm in report.ablation.arms if kind(arm) == wanted}
    found = [(report.arms[line.arm].facts["rows"], line) for line in panel.lines if line.arm in same]
    found.sort(key=lambda one: one[0])
    return found if len({rows for rows, _ in found}) > 1 else []


def _spread(lines: Sequence[Line]) -> list[list[float]]:
    ends = [(line.interval.low, line.interval.high) if line.interval else (line.mean,) * 2 for line in lines]
    below = [100 * max(0.0, line.mean - low) for line, (low, _) in zip(lines, ends, strict=True)]
    above = [100 * max(0.0, high - line.mean) for line, (_, high) in zip(lines, ends, strict=True)]
    return [below, above]
