"""The subcommands of this room."""

from __future__ import annotations

import typer

from limrank_pipelines import asking, bulking, sizing_command


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    app.command("ask")(asking.ask)
    app.command("bulk")(bulking.bulk)
    app.command("size")(sizing_command.size)
