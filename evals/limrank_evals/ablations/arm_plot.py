"""The plot of an ablation: every arm's score with its interval, and scores over the number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from limrank_evals.ablations.arms import Ablation, Arm
from limrank_evals.ablations.panels import ArmScore, Panel
from limrank_evals.reporting.interval_plot import IntervalMark, interval_plot
from limrank_evals.reporting.svg import Axis, Plot, linear, standalone

SVG = "arms.svg"


def draw_arms(ablation: Ablation, panel: Panel, rows: Mapping[str, int]) -> str:
    """The SVG file of a panel; on the right, arms that differ in their number of rows alone.

    Args:
        ablation: see there.
        panel: with at least one finished arm.
        rows: how many each finished arm was trained on.
    """

    def mark(score: ArmScore) -> IntervalMark:
        known = "up" if score.comparison is not None else "same"
        kind = "reference" if score.arm == ablation.reference else known
        return IntervalMark(score.arm, score.mean, score.interval, kind)

    label = f"{panel.measure}, times 100"
    arms = interval_plot(
        "arms", f"{label}, of every arm", label, [mark(score) for score in panel.scores], width=480.0
    )
    sizes = _sizes(ablation, panel, rows)
    title = " ".join(filter(None, (ablation.name, panel.split)))
    plots = [arms, _size_plot(sizes, label, max(224.0, arms.height))] if sizes else [arms]
    return standalone(title, plots)


def _size_plot(sizes: Sequence[tuple[int, ArmScore]], label: str, height: float) -> Plot:
    ends = [100 * end for _, score in sizes for end in (score.mean, *(score.interval or ()))]
    rows = [number for number, _ in sizes]
    room = (rows[-1] / rows[0]) ** 0.08
    x = Axis("training rows", rows[0] / room, rows[-1] * room, [(n, f"{n:,}") for n in rows], log=True)
    description = "; ".join(f"{number:,} rows: {100 * score.mean:.1f}" for number, score in sizes)
    plot = Plot(
        "sizes",
        f"{label}, by training rows",
        description,
        x,
        linear(label, min(ends), max(ends)),
        height=height,
    )
    for (a, first), (b, second) in pairwise(sizes):
        plot.line(a, 100 * first.mean, b, 100 * second.mean, "curve")
    for number, score in sizes:
        if score.interval is not None:
            plot.line(number, 100 * score.interval.low, number, 100 * score.interval.high, "whisker up")
        plot.dot(number, 100 * score.mean, 4.0, "up", f"{score.arm}: {100 * score.mean:.1f}")
    return plot


def _sizes(ablation: Ablation, panel: Panel, rows: Mapping[str, int]) -> list[tuple[int, ArmScore]]:
    """Arms that differ from the reference in their number of rows alone, by that; () for fewer than 2."""

    def kind(arm: Arm) -> tuple[Any, ...]:
        pools, changes = sorted(arm.rows.items(), key=str), sorted(arm.changes.items())
        return pools, arm.without, arm.refill, arm.plan, changes

    reference = kind(ablation.arm(ablation.reference))
    alike = {arm.name for arm in ablation.arms if kind(arm) == reference}
    sizes = [(rows[score.arm], score) for score in panel.scores if score.arm in alike]
    sizes.sort(key=lambda size: size[0])
    return sizes if len({count for count, _ in sizes}) > 1 else []
