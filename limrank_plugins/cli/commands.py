"""The ground floor's own subcommands."""

from __future__ import annotations

import typer

from limrank_plugins.cli import demo, doctor, expand, rerank, search, serve, show


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    app.command("search")(search.search)
    app.command("index")(search.index)
    app.command("rerank")(rerank.rerank)
    app.command("serve")(serve.serve)
    app.command("expand")(expand.expand)
    app.command("recipes")(show.recipes)
    app.add_typer(show.prompt_app, name="prompt")
    app.command("doctor")(doctor.doctor)
    app.command("demo")(demo.demo)
