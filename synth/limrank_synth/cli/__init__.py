"""The subcommands of this room: `limrank synth …`."""

from __future__ import annotations

import typer

from limrank_plugins.cli.later import add_later


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    source = "limrank_synth.cli.synth_commands:synth"
    add_later(app, "synth", source, "Make reasoning-intensive training data.")
