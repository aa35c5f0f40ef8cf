"""`limrank synth documents` and `limrank synth lists`: what else models can make, with the same ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from limrank_plugins.cli import common, reports_errors
from limrank_synth import engine
from limrank_synth.cli.run_seeds import Config, Model, settings_of
from limrank_synth.collection import make_documents
from limrank_synth.driving import Outcome
from limrank_synth.endpoints import Endpoints
from limrank_synth.gold_lists import LISTS, make_lists
from limrank_synth.run_files import ROWS, read_rows
from limrank_synth.stages.seeds import MS_MARCO, drawn, read_seeds

MaxCost = Annotated[float | None, typer.Option(help="Dollars for the whole run.", show_default=False)]
Concurrency = Annotated[int | None, typer.Option(help="Calls in flight.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Of everything drawn.", show_default=False)]
Output = Annotated[Path, typer.Option("--output", "-o", help="The run's folder; started again, it goes on.")]


@reports_errors
def documents(
    queries: Annotated[str, typer.Argument(help="Queries: .tsv, .jsonl, or hub:dataset[:split].")],
    output: Output,
    config: Config = None,
    model: Model = None,
    ms_marco: Annotated[bool, typer.Option("--ms-marco", help="The queries are MS MARCO's.")] = False,
    column: Annotated[str, typer.Option(help="The text's column in a hub dataset.")] = "query",
    limit: Annotated[int | None, typer.Option(help="Draw so many queries.", show_default=False)] = None,
    samples: Annotated[int, typer.Option(help="Answers to each query.")] = 1,
    negatives: Annotated[int, typer.Option(help="Negatives for each positive.")] = 4,
    how: Annotated[str, typer.Option("--how", help="Negatives at 'random', or by 'bm25'.")] = "random",
    max_cost: MaxCost = None,
    concurrency: Concurrency = None,
    seed: Seed = None,
    as_json: common.AsJson = False,
) -> None:
    """Make a collection of the writer's answers (ChatGPT-RetrievalQA), split by query, with negatives."""
    settings = settings_of(config, model, max_cost=max_cost, concurrency=concurrency, seed=seed)
    known = read_seeds(queries, source=MS_MARCO if ms_marco else None, column=column)
    chosen = drawn(known, limit, settings.seed)
    with _progress("queries", len(chosen)) as on_progress:
        outcome = make_documents(
            chosen,
            settings,
            output,
            sender=Endpoints(settings),
            samples=samples,
            per_positive=negatives,
            how=cast(Any, how),
            on_progress=on_progress,
        )
    report = outcome.report
    _tell(
        outcome,
        f"{report['answered']} of {report['queries']} queries: {report['documents']} documents in {output} "
        f"({report['duplicates']} duplicates), {report['rejected']} rejected, ${report['cost']:.4f}",
        as_json,
    )


@reports_errors
def lists(
    rows: Annotated[Path, typer.Argument(help="A run's or a mix's folder, or its rows.jsonl.")],
    output: Output,
    config: Config = None,
    model: Model = None,
    group_seed: Annotated[int, typer.Option(help="As `--seed` of the export.")] = 0,
    size: Annotated[int, typer.Option(help="As `--size` of the export.")] = 20,
    max_cost: MaxCost = None,
    concurrency: Concurrency = None,
    seed: Seed = None,
    as_json: common.AsJson = False,
) -> None:
    """Have the reasoner order every query's passages (ReasonRank), for `export --format listwise --lists`."""
    settings = settings_of(config, model, max_cost=max_cost, concurrency=concurrency, seed=seed)
    found = read_rows(rows / ROWS if rows.is_dir() else rows)
    with _progress("queries", None) as on_progress:
        outcome = make_lists(
            found,
            settings,
            output,
            sender=Endpoints(settings),
            seed=group_seed,
            size=size,
            on_progress=on_progress,
        )
    report = outcome.report
    _tell(
        outcome,
        f"{report['lists']} of {report['queries']} queries in {output / LISTS}, "
        f"{report['rejected']} rejected, ${report['cost']:.4f}",
        as_json,
    )


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[engine.Progress], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[spent]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        bar = shown.add_task(what, total=total, spent="")

        def on_progress(now: engine.Progress) -> None:
            spent = f"{now.asked} calls · ${now.cost:.2f}"
            shown.update(bar, completed=now.done, total=now.total, spent=spent)

        yield on_progress


def _tell(outcome: Outcome[Any], line: str, as_json: bool) -> None:
    if as_json:
        common.emit(outcome.report)
    else:
        common.say(line)
        if outcome.unfinished:
            name, why = next(iter(outcome.unfinished.items()))
            common.say(f"{len(outcome.unfinished)} are unfinished ({name}: {why}); the same command goes on")
    if outcome.unfinished:
        raise typer.Exit(1)
