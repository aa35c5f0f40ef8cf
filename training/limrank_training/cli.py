"""The subcommand of this room."""

from __future__ import annotations

import typer

from limrank_plugins.cli.later import add_later


def register(app: typer.Typer) -> None:
    """Add it to the console script."""
    add_later(app, "train", "limrank_training.train_command:train", "Fine-tune a model for reranking.")
