"""`limrank eval zoo`: all recipes that a model can serve, on any collections, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from limrank_plugins.backends import backend_names
from limrank_plugins.begun_anew import working_on
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.errors import InputError

if TYPE_CHECKING:
    from limrank_evals.zoo.zoo_report import ZooReport

_ENDING = (
    "the same command asks again for what failed; what a model on this machine wrote stays, unless --fresh"
)


@reports_errors
def zoo(
    collections: Annotated[
        list[str] | None,
        typer.Argument(
            help="samples (the sample collection), folders with corpus, queries and judgements (or "
            "folder:split), benchmark:split as in `limrank eval benchmark -t split` (perhaps =source behind "
            "it). Default: samples.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Folder, hub name or GGUF file of the model, or smollm2.")] = "",
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Repeat for more; default: all that the model can serve.", show_default=False),
    ] = None,
    backend: Annotated[str, typer.Option(help=f"Runs the model: {', '.join(backend_names())}.")] = (
        "transformers"
    ),
    reasoning: Annotated[
        list[str] | None,
        typer.Option(
            help="none, full, auto (where it can change the top) or 'auto:20 documents' (a budget), for the "
            "recipes that can reason before a verdict. Repeat to compare. Default: none.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(help="The first so many judged queries of each collection; default: all."),
    ] = None,
    depth: Annotated[int, typer.Option(help="How many candidates of each query are reranked.")] = 20,
    batch: reranking.Batch = 8,
    first_stage: Annotated[str, typer.Option(help="What finds them, as in `limrank eval NAME`.")] = "bm25s",
    seed: reranking.Seed = 0,
    max_reasoning_tokens: reranking.MaxReasoningTokens = None,
    device: common.Device = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16.")] = "bfloat16",
    option: reranking.Options = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the zoo; default: zoo-MODEL.", show_default=False),
    ] = None,
    fresh: common.Fresh = False,
    as_json: common.AsJson = False,
) -> None:
    """Measure what each recipe is worth on a model, and what it costs, beside the first stage and mini.

    Of several --reasoning, each is a row, with its shares of full reasoning's quality and tokens.

    Each recipe runs in a process of its own. A call that was killed goes on where it was; one that had ended
    computes nothing again.
    """
    if not model:
        raise InputError("which model? give --model: a folder, a hub name, a GGUF file, or smollm2")
    whole_number("--depth", depth, least=1)
    whole_number("--batch", batch, least=1)
    if queries is not None:
        whole_number("--queries", queries, least=1)
    if max_reasoning_tokens is not None:
        whole_number("--max-reasoning-tokens", max_reasoning_tokens, least=1)
    from limrank_evals.guarded_folders import keep_settings, working_in
    from limrank_evals.zoo.collections import SAMPLES, file_name, find_collections
    from limrank_evals.zoo.grid import SCHEMA, Zoo, settings_in, work_off, zoo_files
    from limrank_evals.zoo.zoo_report import report

    options = common.parse_options(option, "--option") | ({} if device is None else {"device": device})
    asked = Zoo(
        model,
        tuple(find_collections(collections or [SAMPLES])),
        tuple(dict.fromkeys(recipe or ())),
        backend,
        tuple(dict.fromkeys(reasoning or ["none"])),
        queries,
        depth,
        first_stage,
        dtype,
        seed,
        max_reasoning_tokens,
        options,
        batch,
    )
    recipes, left_out = asked.chosen()
    asked.arms(recipes)  # a reasoning that there is not is refused before anything is written
    folder = output if output is not None else Path(f"zoo-{file_name(Path(model).name)}")
    with working_in(folder):
        settings = settings_in(asked, folder)
        with working_on(folder, settings, zoo_files, fresh=fresh, say=common.say) as work:
            keep_settings(work.place, SCHEMA, settings)
            with common.progress_bars() as progress:
                outcomes = work_off(asked, recipes, work.place, say=common.say, progress=progress)
            made = report(outcomes, settings, left_out, named=bool(recipe))
            made.write(work.place)
            work.end(is_finished=not made.failed())
    folder = work.place
    if as_json:
        common.emit(made.as_json())
    else:
        _show(made)
        common.say(f"table, JSON and plot: {folder}")
    if failed := made.failed():
        reasons = [f"{', '.join(names)}: {why}" for why, names in failed.items()]
        common.end_with_failures("\n".join(["not every cell has a final number", *reasons, _ENDING]))


def _show(made: ZooReport) -> None:
    console = common.Terminal()
    failed = made.failed()
    least = 210 if any(row.shares for rows in made.rows.values() for row in rows) else 150
    console.width = max(console.width, least)  # a table narrower than that would lose its numbers
    for collection in made.rows:
        grid = made.grid(collection)
        console.print(f"\n{collection}", style="bold")
        table = Table(box=None, padding=(0, 1))
        for place, head in enumerate(grid.heads):
            table.add_column(head, justify="left" if place < grid.left else "right", no_wrap=True)
        for row in grid.texts():
            table.add_row(*row)
        console.print(table)
        for line in grid.below:
            console.print(line, style="dim", soft_wrap=True)
        for number, note in enumerate(grid.notes, start=1):
            told = "said at the end" if note in failed else note
            console.print(f"[{number}] {told}", style="dim", soft_wrap=True)
    if made.left_out:
        console.print("\nnot run on this model", style="bold")
        for reason, names in made.by_reason().items():
            console.print(f"{', '.join(names)}: {reason}", style="dim", soft_wrap=True)
