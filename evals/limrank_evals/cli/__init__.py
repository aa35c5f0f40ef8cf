"""The subcommands of this room: `limrank eval …`, `limrank bench …` and `limrank calibrate`."""

from __future__ import annotations

import typer

from limrank_plugins.cli.later import add_later


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    add_later(
        app, "eval", "limrank_evals.cli.evaluation_commands:evaluation", "Measure rankings and answers."
    )
    add_later(app, "bench", "limrank_evals.cli.bench:bench", "Measure speed beside other libraries.")
    add_later(
        app,
        "calibrate",
        "limrank_evals.cli.calibrate:calibrate",
        "Fit scores to judgements, so that a score is the probability that a document is relevant.",
    )
