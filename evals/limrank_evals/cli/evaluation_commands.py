"""`limrank eval …`: every subcommand of the evaluation, one file each."""

from __future__ import annotations

import typer

from limrank_evals.cli import ab, ablate, benchmark_command, compare, errors, fuse, judge, questions, run, zoo

evaluation = typer.Typer(help="Measure rankings and answers.", no_args_is_help=True)
evaluation.command("run")(run.run)
evaluation.command("compare")(compare.compare)
evaluation.command("errors")(errors.errors)
evaluation.command("judge")(judge.judge)
evaluation.command("ab")(ab.ab)
questions.register(evaluation)
benchmark_command.register(evaluation)
evaluation.command("ablate")(ablate.ablate)
evaluation.command("zoo")(zoo.zoo)
evaluation.command("fuse")(fuse.fuse)
