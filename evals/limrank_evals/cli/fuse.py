"""`limrank eval fuse`: what recipes of a zoo are worth together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from limrank_evals.cli import options
from limrank_evals.cli.printing import difference_cells, show_grid
from limrank_evals.comparison import Resampling, ends
from limrank_evals.stats.intervals import RESAMPLES
from limrank_evals.tables import Grid, ends_text, value_text
from limrank_evals.zoo.fusion import GRID, Fusion, choose, read_part
from limrank_plugins.checks import finite_number
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError

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
    names = list(dict.fromkeys(parts))
    if len(names) < len(parts):
        raise InputError("a part is named twice")
    for one in weight or ():
        finite_number("--weight", one)
    resampling = Resampling(level, resamples, seed)
    made = choose({name: read_part(name) for name in names}, tuple(weight or GRID), resampling)
    if as_json:
        common.emit(record(made))
        return
    heads = ("collection", "queries", *names, "fused", "difference", f"{level:.0%} interval", "p", "w/t/l")
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
    means = [
        sum(values) / len(made.collections)
        for values in zip(*(one.alone for one in made.collections.values()), strict=True)
    ]
    fused = sum(one.against.second for one in made.collections.values()) / len(made.collections)
    total = [*map(value_text, means), value_text(fused), value_text(made.difference, signed=True)]
    rows.append(["mean", "", *total, ends_text(made.interval, signed=True), "", ""])
    show_grid(Grid(heads, rows))
    weights = ", ".join(f"{one:g} · {name}" for name, one in zip(made.parts, made.weights, strict=True))
    alone, chosen = map(value_text, made.chosen_on)
    common.say(
        f"nDCG@10 at the even positions. Weights: {weights}, chosen at the odd ones ({alone} → {chosen})"
    )


def record(made: Fusion) -> dict[str, Any]:
    """For machines."""
    return {
        "schema": SCHEMA,
        "weights": dict(zip(made.parts, made.weights, strict=True)),
        "chosen on": {"first part": made.chosen_on[0], "fused": made.chosen_on[1]},
        "difference": made.difference,
        "interval": ends(made.interval),
        "collections": {
            name: {"alone": dict(zip(made.parts, one.alone, strict=True)), **one.against.as_json(0)}
            for name, one in made.collections.items()
        },
    }
