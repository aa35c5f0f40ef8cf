"""`limrank bench …`: speed beside other libraries on the same weights; one subcommand a subject."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from limrank_evals.cli.bench_retrieval import retrieval
from limrank_evals.cli.bench_served import served
from limrank_evals.cli.bench_store import store
from limrank_plugins.cli import common, reports_errors

if TYPE_CHECKING:
    from limrank_evals.bench.interleaved import Contest

Quick = Annotated[bool, typer.Option("--quick", help="Less work and fewer rounds: for a look.")]
_ROUNDS, _QUICK_ROUNDS = 7, 3


bench = typer.Typer(help="Measure speed beside other libraries.", no_args_is_help=True)


bench.command("retrieval")(retrieval)
bench.command("store")(store)
bench.command("served")(served)


@bench.callback()
def subjects() -> None:
    """Measure speed beside other libraries, on the same weights in one process."""


@bench.command("encoders")
@reports_errors
def encoders(
    cross_encoder: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub name of a cross-encoder. Default: one of MiniLM's size with random weights.",
            show_default=False,
        ),
    ] = None,
    quick: Quick = False,
    as_json: common.AsJson = False,
) -> None:
    """Encoders and cross-encoders on a CPU, beside sentence-transformers' default calls."""
    from limrank_evals.bench import encoders as subject
    from limrank_evals.bench.interleaved import machine

    with subject.contests(cross_encoder, quick=quick) as contests:
        about = machine(subject.PEER, "transformers")
        report("encoders", contests, about, quick=quick, as_json=as_json)


def report(
    subject: str, contests: Iterable[Contest], about: dict[str, Any], *, quick: bool, as_json: bool
) -> None:
    """Run the contests and print what came of them.

    Args:
        subject: the subcommand.
        contests: in the order of the table.
        about: the machine, as `interleaved.machine` says it.
        quick: fewer rounds.
        as_json: print JSON.
    """
    from limrank_evals.bench.interleaved import run

    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    outcomes = []
    for contest in contests:
        common.say(f"{contest.name}: {rounds} rounds")
        outcomes.append(run(contest, rounds))
    if as_json:
        common.emit({"bench": subject, "rounds": rounds, **about, "peers": [asdict(o) for o in outcomes]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("peer and work", overflow="fold")
    for head in ("ours, ms", "theirs, ms", "ratio", "spread", "scores differ by"):
        table.add_column(head, justify="right")
    for o in outcomes:
        numbers = [
            f"{o.milliseconds:.2f}",
            f"{o.their_milliseconds:.2f}",
            f"{o.ratio:.2f}",
            f"{o.spread:.2f}",
        ]
        table.add_row(o.name, *numbers, f"{o.max_score_difference:.1e}")
    common.Terminal().print(table)
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    common.say(
        f"CPU milliseconds a text, medians of {rounds} rounds; {about['processor']}, "
        f"{about['threads']} threads; {versions}"
    )
