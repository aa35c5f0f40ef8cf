"""`limrank synth mix`: Rank1-style and synthetic rows in, one stratified training set out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of
from limrank_synth import mix as mixing


@reports_errors
def mix(
    output: Annotated[Path, typer.Option("--output", "-o", help="The mix's folder.")],
    rank1: Annotated[
        list[str] | None,
        typer.Option(
            help="Rank1-style rows: .jsonl, .json, .parquet or hub:name[:split]; repeat for more.",
            show_default=False,
        ),
    ] = None,
    synthetic: Annotated[
        list[str] | None,
        typer.Option(
            help="Synthetic rows: a run's folder or rows.jsonl; repeat for more.", show_default=False
        ),
    ] = None,
    rank1_rows: Annotated[
        int | None, typer.Option(help="How many of the former.", show_default="14000")
    ] = None,
    synthetic_rows: Annotated[
        int | None, typer.Option(help="How many of the latter.", show_default="6000")
    ] = None,
    relevant: Annotated[
        str, typer.Option(help="Share of relevant rows in each part, or 'pool' for the pool's own.")
    ] = "0.5",
    strata: Annotated[
        str,
        typer.Option(help="Synthetic rows' kinds and difficulties: as in the 'pool' or the 'guidelines'."),
    ] = "pool",
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    allow_non_commercial: Annotated[
        bool,
        typer.Option(
            "--allow-non-commercial",
            help="Use rows from sources that are not, or not known to be, for commercial use.",
        ),
    ] = False,
    commercial: Annotated[
        list[str] | None,
        typer.Option(
            help="A source of unknown terms that you know to be for commercial use.", show_default=False
        ),
    ] = None,
    as_json: common.AsJson = False,
) -> None:
    """Build a training set of both sorts of rows."""
    counts = {
        # A part that no file is given for is not asked for, unless it is named.
        "rank1": rank1_rows if rank1_rows is not None else 14_000 if rank1 else 0,
        "synthetic": synthetic_rows if synthetic_rows is not None else 6_000 if synthetic else 0,
    }
    if not rank1 and not synthetic:
        raise InputError("give --rank1, --synthetic or both")
    blend = mixing.Blend(**counts, relevant=_share(relevant), strata=cast(Any, strata), seed=seed)
    report = mixing.mix(
        rank1 or [],
        synthetic or [],
        output,
        blend,
        allow_non_commercial=allow_non_commercial,
        commercial=commercial or (),
    )
    if as_json:
        common.emit(report)
        return
    common.say(f"{number_of(report['rows'], 'row')} in {output}, {report['relevant']:,} of them relevant")
    for part, facts in report["parts"].items():
        common.say(
            f"{part}: {facts['taken']} of {number_of(facts['read'], 'row')}; {facts['unreadable']} not "
            f"readable, {facts['unusable']} not usable, "
            f"{facts['duplicates'] + facts['duplicates_across']} duplicates "
            f"({facts['duplicates_across']} across the parts), {facts['contradictory']} with two labels"
        )
    if report["non_commercial"] or report["not_known"]:
        bound = ", ".join([*report["non_commercial"], *report["not_known"]])
        common.say(f"not for commercial use, or not known to be: {bound}")


def _share(written: str) -> float | None:
    if written == "pool":
        return None
    try:
        return float(written)
    except ValueError:
        raise InputError(f"--relevant wants a share such as 0.5, or 'pool', but got {written!r}") from None
