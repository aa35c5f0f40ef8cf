"""Arms against the reference arm: means, paired tests over the same queries, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limrank_evals.ablating.judging import Evaluation
from limrank_evals.comparing import Comparison, compare_values
from limrank_evals.stats import Interval, bootstrap
from limrank_plugins.errors import InputError

FIRST_STAGE = "first stage"
Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""A number for every query, by split and measure."""


@dataclass(frozen=True, slots=True)
class Line:
    """One arm under one measure.

    Attributes:
        arm: its name, or that of the first stage.
        mean: over the judged queries; of several splits, the mean of their means.
        interval: of the mean.
        comparison: with the reference arm; None for itself and where that is not finished.
        holm_p: the randomisation test's p, corrected for the number of arms (Holm 1979).
    """

    arm: str
    mean: float
    interval: Interval | None
    comparison: Comparison | None = None
    holm_p: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """All arms under one measure of one split, or of all splits.

    Attributes:
        split: its name; "" for all of them, every split counting the same.
        measure: as ir_measures writes it.
        lines: the first stage, then the arms.
    """

    split: str
    measure: str
    lines: tuple[Line, ...]


def compare_arms(
    arms: Mapping[str, Values], first: Values | None, reference: str, settings: Evaluation
) -> list[Panel]:
    """Compare arms; the panels of all splits together come first, then those of single splits.

    Args:
        arms: by name, in the order of the table.
        first: of the first stage.
        reference: the arm that the others are compared with; it may be missing.
        settings: level, resamples and seed.

    Raises:
        InputError: two arms were not measured on the same splits, measures and queries.
    """
    if not arms:
        return []
    shape = _shape(next(iter(arms.values())))
    strangers = [name for name, values in arms.items() if _shape(values) != shape]
    if strangers:
        raise InputError(f"arms {next(iter(arms))!r} and {strangers[0]!r} were measured on different queries")
    splits, measures = list(shape), list(next(iter(shape.values())))
    panels = []
    for split in ([""] if len(splits) > 1 else []) + splits:
        for measure in measures:
            values = {name: _values(of, split, measure) for name, of in arms.items()}
            below = {} if first is None else {FIRST_STAGE: _values(first, split, measure)}
            panels.append(Panel(split, measure, _lines(values, below, reference, settings)))
    return panels


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the order given (Holm's step-down method).

    The i-th smallest of m is multiplied by m - i + 1, and none is below a smaller one's.
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = least
    return corrected


def _lines(
    values: Mapping[str, Mapping[str, float]],
    below: Mapping[str, Mapping[str, float]],
    reference: str,
    settings: Evaluation,
) -> tuple[Line, ...]:
    how: dict[str, Any] = {
        "level": settings.level,
        "resamples": settings.resamples,
        "seed": settings.seed,
    }
    ours = values.get(reference)
    compared = {
        name: compare_values(ours, of, **how)
        for name, of in values.items()
        if ours is not None and name != reference
    }
    p_values = {name: c.randomisation_p for name, c in compared.items() if c.randomisation_p is not None}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        Line(
            name,
            sum(of.values()) / len(of),
            bootstrap(of.values(), **how),
            compared.get(name),
            corrected.get(name),
        )
        for name, of in {**below, **values}.items()
    )


def _values(of: Values, split: str, measure: str) -> dict[str, float]:
    """A split's numbers by query; of all splits, each weighted so that their mean is the mean of means."""
    if split:
        return dict(of[split][measure])
    total = sum(len(by[measure]) for by in of.values())
    return {
        f"{name}\t{query}": value * total / (len(of) * len(by[measure]))
        for name, by in of.items()
        for query, value in by[measure].items()
    }


def _shape(values: Values) -> dict[str, dict[str, tuple[str, ...]]]:
    return {split: {measure: tuple(sorted(of)) for measure, of in by.items()} for split, by in values.items()}
