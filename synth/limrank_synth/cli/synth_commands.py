"""`limrank synth …`: every subcommand of the synthesizer, one file each."""

from __future__ import annotations

import typer

from limrank_synth.cli import documents_and_lists, export_rows, mix_rows, review_rows, run_seeds

synth = typer.Typer(help="Make reasoning-intensive training data.", no_args_is_help=True)
synth.command("run")(run_seeds.run)
synth.command("batch-in")(run_seeds.batch_in)
synth.command("mix")(mix_rows.mix)
synth.command("export")(export_rows.export)
synth.command("documents")(documents_and_lists.documents)
synth.command("lists")(documents_and_lists.lists)
synth.command("review")(review_rows.review)
