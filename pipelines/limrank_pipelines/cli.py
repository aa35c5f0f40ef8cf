"""The subcommands of this room."""

from __future__ import annotations

import typer

from limrank_plugins.cli.later import add_later

_COMMANDS = {
    "ask": "Answer a question from a corpus, with the passages the answer rests on.",
    "bulk": "Rerank in partitions.",
    "size": "What reranking 10^3 to 10^9 pairs takes, by the formula in docs/sizing.md.",
}


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    for name, summary in _COMMANDS.items():
        add_later(app, name, f"limrank_pipelines.{name}_command:{name}", summary)
