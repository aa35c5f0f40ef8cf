"""The subcommands of this room."""

from __future__ import annotations

import typer

from limrank_pipelines.ask_command import ask
from limrank_pipelines.bulk_command import bulk
from limrank_pipelines.size_command import size


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    app.command("ask")(ask)
    app.command("bulk")(bulk)
    app.command("size")(size)
