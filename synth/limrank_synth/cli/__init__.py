"""`limrank synth …`: every subcommand of the synthesizer, one file each."""

from __future__ import annotations

import typer

from limrank_synth.cli import export, make, mix, review, run


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    synth = typer.Typer(help="Make reasoning-intensive training data.", no_args_is_help=True)
    synth.command("run")(run.run)
    synth.command("batch-in")(run.batch_in)
    synth.command("mix")(mix.mix)
    synth.command("export")(export.export)
    synth.command("documents")(make.documents)
    synth.command("lists")(make.lists)
    synth.command("review")(review.review)
    app.add_typer(synth, name="synth")
