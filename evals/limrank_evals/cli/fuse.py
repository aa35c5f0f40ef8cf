"""`limrank eval fuse`: what recipes of a zoo are worth together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from limrank_evals.cli import options
from limrank_evals.cli.printing import difference_cells, show_grid
from limrank_evals.comparison import Resampling, ends
from limrank_evals.stats.intervals import RESAMPLES
from limrank_evals.tables import Grid, ends_text, level_text, value_text
from limrank_evals.zoo.cell import MEASURE
from limrank_evals.zoo.fusion import GRID, Fusion, choose
from limrank_evals.zoo.part_scores import read_parts
from limrank_plugins.cli import common, reports_errors

SCHEMA = "limrank eval fuse 1"


@reports_errors
def fuse(
    parts: Annotated[
        list[str],
        typer.Argument(
            help="Cells of zoos as ZOO:RECIPE, such as zoo-smollm2:mini zoo-smollm2:qlm; the first weighs 1."
        ),
    ],
    weight: Annotated[
        list[float] | None,
        typer.Option(
            help=f"A weight that is tried for each of the others; repeat for more. "
            f"Default: {', '.join(f'{one:g}' for one in GRID)}.",
            show_default=False,
        ),
    ] = None,
    level: options.Level = 0.95,
    resamples: options.Resamples = RESAMPLES,
    seed: options.Seed = 0,
    as_json: common.AsJson = False,
) -> None:
    """Fuse scores of recipes: weights chosen on the odd queries of each collection, measured on the even.

    Scores are standardised within each query's list, as recipe fuse does with method=zscore. Collections are
    those that all parts were measured on; each counts the same.
    """
    resampling = Resampling(level, resamples, seed)
    read, left_out = read_parts(parts)
    made = choose(read, tuple(weight or GRID), resampling)
    if as_json:
        common.emit(record(made, left_out, resampling))
        return
    interval = f"{level_text(level)} interval"
    heads = ("collection", "queries", *parts, "fused", "difference", interval, "p", "w/t/l")
    rows = [
        [
            name,
            str(one.against.queries),
            *map(value_text, one.alone),
            value_text(one.against.second),
            value_text(one.against.difference, signed=True),
            *difference_cells(one.against),
        ]
        for name, one in made.collections.items()
    ]
    if len(rows) > 1:
        means = [
            *map(value_text, made.alone),
            value_text(made.fused),
            value_text(made.difference, signed=True),
        ]
        rows.append(["mean", "", *means, ends_text(made.interval, signed=True), "", ""])
    show_grid(Grid(heads, rows))
    weights = ", ".join(f"{one:g} · {name}" for name, one in zip(made.parts, made.weights, strict=True))
    alone, chosen = map(value_text, made.chosen_on)
    common.say(
        f"{MEASURE} at the even positions; the difference is to {made.parts[0]}. Weights: {weights}, chosen "
        f"at the odd ones ({alone} → {chosen})"
    )
    for note in _notes(made):
        common.say(note)
    for collection, why in left_out.items():
        common.say(f"{collection} is left out: {why}")


def record(made: Fusion, left_out: Mapping[str, str], resampling: Resampling) -> dict[str, Any]:
    """For machines; see docs/evaluation.md for the schema."""
    collections = {}
    for name, one in made.collections.items():
        compared = one.against.as_json(0)
        del compared["regressions"]
        collections[name] = {"alone": dict(zip(made.parts, one.alone, strict=True)), **compared}
    return {
        "schema": SCHEMA,
        "measure": MEASURE,
        "weights": dict(zip(made.parts, made.weights, strict=True)),
        "tried": list(made.tried),
        "chosen_on": {"first": made.chosen_on[0], "second": made.chosen_on[1]},
        "alone": dict(zip(made.parts, made.alone, strict=True)),
        "second": made.fused,
        "difference": made.difference,
        "interval": ends(made.interval),
        "collections": collections,
        "left_out": dict(left_out),
        "level": resampling.level,
        "resamples": resampling.resamples,
        "seed": resampling.seed,
    }


def _notes(made: Fusion) -> list[str]:
    """What a reader of the table should not overlook."""
    notes = [
        f"{name} alone has {value_text(alone)}, not less than the fusion's {value_text(made.fused)}"
        for name, alone in zip(made.parts[1:], made.alone[1:], strict=True)
        if alone >= made.fused
    ]
    largest = max(made.tried)
    if len(made.tried) > 1 and largest in made.weights[1:]:
        notes.append(f"{largest:g} is the largest weight that was tried: --weight tries others")
    return notes
