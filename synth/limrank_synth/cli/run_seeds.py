"""`limrank synth run`: seeds in, filtered rows out; started again, it goes on where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError
from limrank_plugins.files import alone_in
from limrank_plugins.store import Store
from limrank_synth import engine
from limrank_synth.batches import Written, read_batch, write_batch
from limrank_synth.endpoints import Endpoints
from limrank_synth.filters.usual import usual_filters
from limrank_synth.ledger import Ledger
from limrank_synth.run import Synthesis, dry_run, synthesise_all
from limrank_synth.run_files import LEDGER
from limrank_synth.settings import ROLES, Role, SynthSettings, read_settings
from limrank_synth.stages.personas import read_personas
from limrank_synth.stages.seeds import MS_MARCO, drawn, read_seeds

Config = Annotated[
    Path | None, typer.Option("--config", help="TOML with settings and [roles.…].", show_default=False)
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="role=model@address, for example writer=gpt-4o or judge=deepseek-r1@http://localhost:8000/v1; "
        "repeat for more. Roles: writer, reasoner, judge, second.",
        show_default=False,
    ),
]


@reports_errors
def run(
    seeds: Annotated[str, typer.Option(help="Seed queries: .tsv, .jsonl, or hub:dataset[:split].")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The run's folder; started again, it goes on.")
    ],
    config: Config = None,
    model: Model = None,
    personas: Annotated[
        str | None,
        typer.Option(
            help="Personas: .jsonl, .txt or hub:dataset. Default: the shipped ones.", show_default=False
        ),
    ] = None,
    ms_marco: Annotated[bool, typer.Option("--ms-marco", help="The seeds are MS MARCO's.")] = False,
    column: Annotated[str, typer.Option(help="The text's column in a hub dataset.")] = "query",
    limit: Annotated[int | None, typer.Option(help="Draw so many seeds.", show_default=False)] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            help="Queries (.jsonl, .tsv) of an evaluation set that nothing may repeat; more than one.",
            show_default=False,
        ),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="Dollars for the whole run.", show_default=False)
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Calls in flight.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything drawn.", show_default=False)] = None,
    batch_out: Annotated[
        Path | None,
        typer.Option(
            help="Ask nobody: write the open questions as OpenAI Batch files, one for each model.",
            show_default=False,
        ),
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Show first prompts and an estimate; ask nobody.")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Make training rows out of seed queries."""
    settings = settings_of(config, model, max_cost=max_cost, concurrency=concurrency, seed=seed)
    source = MS_MARCO if ms_marco else None
    chosen = drawn(read_seeds(seeds, source=source, column=column), limit, settings.seed)
    people = read_personas(personas)
    if dry:
        _show_plan(dry_run(chosen, people, settings), as_json)
        return
    sender = None if batch_out is not None else Endpoints(settings)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[spent]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("seeds", total=len(chosen), spent="")

        def on_progress(now: engine.Progress) -> None:
            spent = f"{now.asked} calls · ${now.cost:.2f} · {now.accepted:.0%} of passages kept"
            progress.update(bar, completed=now.done, spent=spent)

        found = synthesise_all(
            chosen,
            people,
            settings,
            output,
            sender=sender,
            filters=usual_filters(settings, evaluation or []),
            on_progress=on_progress,
        )
    batch = None
    if batch_out is not None:
        spent = found.report["cost"] + found.report["cost_uncertain"]
        batch = write_batch(batch_out, found.wanted, settings, spent)
    _tell(found, output, batch, as_json)
    if found.unfinished and batch_out is None:
        raise typer.Exit(1)


@reports_errors
def batch_in(
    results: Annotated[Path, typer.Argument(help="The results of a batch that `run --batch-out` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run's folder.")],
    config: Config = None,
    model: Model = None,
    as_json: common.AsJson = False,
) -> None:
    """Commit the results of a batch; then run again for the next round."""
    settings = settings_of(config, model)
    output.mkdir(parents=True, exist_ok=True)
    with alone_in(output), Store(output / LEDGER) as store:
        committed, failed = read_batch(results, Ledger(store), settings)
    if as_json:
        common.emit({"committed": committed, "failed": failed})
        return
    common.say(
        f"{committed} answers committed"
        + (f", {len(failed)} failed; the first: {next(iter(failed.values()))}" if failed else "")
    )


def settings_of(config: Path | None, model: list[str] | None, **changes: Any) -> SynthSettings:
    """The settings of a file, of `role=model@address` pairs, or of both; the latter win.

    Raises:
        InputError: neither names a writer, or a pair is written otherwise.
    """
    roles: dict[str, Role] = {}
    for pair in model or []:
        name, equals, rest = pair.partition("=")
        named, _, address = rest.partition("@")
        if not equals or name not in ROLES or not named:
            shown = pair.partition("@")[0]  # an address may hold a login
            raise InputError(
                f"--model wants role=model or role=model@address with one of the roles "
                f"{', '.join(ROLES)}, but got {shown!r}"
            )
        roles[name] = Role(named, address or None)
    given = {key: value for key, value in changes.items() if value is not None}
    if config is None:
        if not roles:
            raise InputError("name the models: --config settings.toml, or --model writer=…")
        return SynthSettings(roles=roles, **given)
    settings = read_settings(config, **given)
    # A model that is named here keeps the file's prices and limits for its role.
    known = dict(settings.roles)
    for name, role in roles.items():
        before = known.get(name, role)
        known[name] = replace(before, model=role.model, base_url=role.base_url or before.base_url)
    return replace(settings, roles=known)


def _show_plan(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        common.emit(plan)
        return
    for prompt in plan["prompts"]:
        for message in prompt["messages"]:
            typer.echo(f"--- {prompt['role']} · {message['role']}\n{message['text']}\n")
    calls = ", ".join(f"{number:,} by the {role}" for role, number in plan["calls"].items())
    common.say(f"{plan['seeds']:,} seeds: {calls}; at most ${plan['cost_at_most']:,.2f}")


def _tell(found: Synthesis, output: Path, batch: Written | None, as_json: bool) -> None:
    if as_json:
        files = [str(file) for file in batch.files] if batch is not None else []
        common.emit(found.report | {"wanted": len(found.wanted), "batch_files": files})
        return
    report = found.report
    common.say(
        f"{report['finished']} of {report['seeds']} seeds: {report['rows']} rows in {output} "
        f"({report['relevant']} relevant), {report['rejected']} rejected, ${report['cost']:.4f}"
    )
    if batch is not None:
        where = f"{batch.asked} open questions in {', '.join(map(str, batch.files))}" if batch.files else ""
        left = f"{batch.left} questions are beyond --max-cost" if batch.left else ""
        common.say("; ".join(filter(None, (where, left))) or "no question is open: the run is done")
    elif found.unfinished:
        first = next(iter(found.unfinished.items()))
        common.say(
            f"{len(found.unfinished)} seeds are unfinished ({first[0]}: {first[1]}); the same command goes on"
        )
