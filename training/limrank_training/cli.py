"""The subcommands of this room."""

from __future__ import annotations

import typer

from limrank_plugins.cli.later import add_later


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    add_later(app, "train", "limrank_training.train_command:train", "Fine-tune a model for reranking.")
    summary = "Put a teacher's scores beside training rows, for plans that distil them."
    add_later(app, "score", "limrank_training.score_command:score", summary)
