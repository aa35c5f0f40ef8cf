"""Arms against the reference arm: means, paired tests over the same queries, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limrank_evals.ablations.arm_evaluation import Evaluation
from limrank_evals.comparison import Comparison, Resampling, compare_values, holm
from limrank_evals.stats import Interval
from limrank_plugins.errors import InputError

FIRST_STAGE = "first stage"
Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""A number for every query, by split and measure."""


@dataclass(frozen=True, slots=True)
class ArmScore:
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
        scores: of the first stage, then of the arms.
    """

    split: str
    measure: str
    scores: tuple[ArmScore, ...]


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
            panels.append(Panel(split, measure, _scores(values, below, reference, settings)))
    return panels


def _scores(
    values: Mapping[str, Mapping[str, float]],
    below: Mapping[str, Mapping[str, float]],
    reference: str,
    settings: Evaluation,
) -> tuple[ArmScore, ...]:
    resampling = Resampling(settings.level, settings.resamples, settings.seed)
    main = values.get(reference)
    comparisons = {
        name: compare_values(main, of, resampling)
        for name, of in values.items()
        if main is not None and name != reference
    }
    p_values = {name: c.randomisation_p for name, c in comparisons.items() if c.randomisation_p is not None}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    means = {name: resampling.mean(list(of.values())) for name, of in {**below, **values}.items()}
    return tuple(
        ArmScore(name, *mean, comparisons.get(name), corrected.get(name))
        for name, mean in means.items()
        if mean is not None
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
