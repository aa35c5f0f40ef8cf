"""`limrank synth documents` and `limrank synth lists`: what else models can make, with the same ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from limrank_plugins.cli import common, reports_errors
from limrank_plugins.wording import number_of
from limrank_synth.cli.run_seeds import (
    Config,
    Model,
    PriceIn,
    PriceOut,
    cost_of,
    end_unless_finished,
    job_bar,
    settings_of,
)
from limrank_synth.collection import make_documents
from limrank_synth.gold_lists import LISTS, make_lists
from limrank_synth.limrank_open import read_sources
from limrank_synth.stages.seeds import MS_MARCO, drawn, read_seeds
from limrank_synth.synth_job import JobResult

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
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    ms_marco: Annotated[bool, typer.Option("--ms-marco", help="The queries are MS MARCO's.")] = False,
    column: Annotated[str, typer.Option(help="The text's column in a hub dataset.")] = "query",
    limit: Annotated[int | None, typer.Option(help="Draw so many queries.", show_default=False)] = None,
    samples: Annotated[int, typer.Option(help="Answers to each query.")] = 1,
    negatives: Annotated[int, typer.Option(help="Negatives for each positive.")] = 4,
    how: Annotated[str, typer.Option("--how", help="Negatives at 'random', or by 'bm25'.")] = "random",
    max_cost: MaxCost = None,
    concurrency: Concurrency = None,
    seed: Seed = None,
    fresh: common.Fresh = False,
    as_json: common.AsJson = False,
) -> None:
    """Make a collection of the writer's answers (ChatGPT-RetrievalQA), split by query, with negatives."""
    settings = settings_of(
        config, model, price_in, price_out, max_cost=max_cost, concurrency=concurrency, seed=seed
    )
    known = read_seeds(queries, source=MS_MARCO if ms_marco else None, column=column)
    chosen = drawn(known, limit, settings.seed)
    with job_bar("queries", len(chosen)) as on_progress:
        job = make_documents(
            chosen,
            settings,
            output,
            samples=samples,
            per_positive=negatives,
            how=cast(Any, how),
            fresh=fresh,
            on_progress=on_progress,
            say=common.say,
        )
    report = job.report
    _report(
        job,
        f"{report['answered']} of {number_of(report['queries'], 'query')}: "
        f"{number_of(report['documents'], 'document')} in {job.work.place} "
        f"({number_of(report['duplicates'], 'duplicate')}), {report['rejected']} rejected, "
        f"{cost_of(report)}",
        as_json,
    )
    end_unless_finished(report, "document", report["documents"], of="query")


@reports_errors
def lists(
    rows: Annotated[Path, typer.Argument(help="A run's or a mix's folder, or its rows.jsonl.")],
    output: Output,
    config: Config = None,
    model: Model = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    group_seed: Annotated[int, typer.Option(help="As `--seed` of the export.")] = 0,
    size: Annotated[int, typer.Option(help="As `--size` of the export.")] = 20,
    max_cost: MaxCost = None,
    concurrency: Concurrency = None,
    seed: Seed = None,
    fresh: common.Fresh = False,
    as_json: common.AsJson = False,
) -> None:
    """Have the reasoner order every query's passages (ReasonRank), for `export --format listwise --lists`."""
    settings = settings_of(
        config, model, price_in, price_out, max_cost=max_cost, concurrency=concurrency, seed=seed
    )
    with job_bar("queries", None) as on_progress:
        job = make_lists(
            read_sources(rows),
            settings,
            output,
            seed=group_seed,
            size=size,
            fresh=fresh,
            on_progress=on_progress,
            say=common.say,
        )
    report = job.report
    _report(
        job,
        f"{report['lists']} of {number_of(report['queries'], 'query')} in {job.work.place / LISTS}, "
        f"{report['rejected']} rejected, {cost_of(report)}",
        as_json,
    )
    end_unless_finished(report, "list", report["lists"], of="query")


def _report(job: JobResult[Any], line: str, as_json: bool) -> None:
    if as_json:
        common.emit(job.report)
    else:
        common.say(line)
