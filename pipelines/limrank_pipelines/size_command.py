"""`limrank size`: tokens, GPU-hours and dollars from your own rates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from limrank_pipelines.sizing import Load, Rates, as_markdown, sizes
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError


@reports_errors
def size(
    prompt_tokens: Annotated[float, typer.Option(help="Mean tokens of a pair's prompt, as measured.")],
    prompt_rate: Annotated[float, typer.Option(help="Prompt tokens a second of one GPU, as measured.")],
    generated_tokens: Annotated[float, typer.Option(help="Mean tokens written for a pair.")] = 0,
    shared_tokens: Annotated[
        float, typer.Option(help="Mean tokens of a prompt that are not computed again.")
    ] = 0,
    generation_rate: Annotated[
        float | None,
        typer.Option(help="Generated tokens a second of one GPU, as measured.", show_default=False),
    ] = None,
    dollars: Annotated[float, typer.Option(help="Price of an hour of one GPU.")] = 0,
    busy: Annotated[float, typer.Option(help="Share of the time in which the GPUs do this work.")] = 1,
    gpus: Annotated[int, typer.Option(help="How many share the work.")] = 1,
    least: Annotated[int, typer.Option("--from", help="Smallest power of ten of pairs.")] = 3,
    most: Annotated[int, typer.Option("--to", help="Largest power of ten of pairs.")] = 9,
    as_json: common.AsJson = False,
) -> None:
    """What reranking 10^3 to 10^9 pairs takes, by the formula in docs/sizing.md."""
    if not 0 <= least <= most <= 18:
        raise InputError(
            f"--from and --to must be exponents of ten with 0 <= from <= to <= 18, but got {least} and {most}"
        )
    load = Load(prompt_tokens, generated_tokens, shared_tokens)
    table = sizes(load, Rates(prompt_rate, generation_rate, dollars, busy), range(least, most + 1))
    if as_json:
        common.emit([asdict(row) | {"wall_hours": row.wall_hours(gpus)} for row in table])
    else:
        common.tell(as_markdown(table, gpus), end="")
