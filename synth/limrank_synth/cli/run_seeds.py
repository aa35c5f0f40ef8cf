"""`limrank synth run`: seeds in, filtered rows out; started again, it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from limrank_plugins.begun_anew import replies_begun
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError
from limrank_plugins.outputs import check_output
from limrank_plugins.wording import in_dollars, number_of
from limrank_synth.batch_files import BatchFiles, read_batch, write_batch
from limrank_synth.filters.usual import usual_filters
from limrank_synth.run_files import LEDGER, RUN_FILES
from limrank_synth.settings import ROLES, Role, SynthSettings, read_settings
from limrank_synth.stages.personas import read_personas
from limrank_synth.stages.seeds import MS_MARCO, drawn, read_seeds
from limrank_synth.synth_job import JobProgress, open_ledger
from limrank_synth.synthesis_run import Synthesis, dry_run, synthesise_all

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
PriceIn = Annotated[
    list[str] | None,
    typer.Option(
        "--price-in",
        help="Dollars for a million prompt tokens of the models named with --model (without one: of all), or "
        "role=dollars; repeat for more. 0 where nobody charges.",
        show_default=False,
    ),
]
PriceOut = Annotated[
    list[str] | None,
    typer.Option("--price-out", help="The same for a million written tokens.", show_default=False),
]


@reports_errors
def run(
    seeds: Annotated[str, typer.Option(help="Seed queries: .tsv, .jsonl, or hub:dataset[:split].")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The run's folder; started again, it goes on.")
    ],
    config: Config = None,
    model: Model = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
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
            help="Ask nobody: write the open requests as OpenAI Batch files, one for each model.",
            show_default=False,
        ),
    ] = None,
    batch_again: Annotated[
        bool,
        typer.Option(
            "--batch-again",
            help="With --batch-out: write once more what waits in files that were lost or never run.",
        ),
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Show first prompts and an estimate; ask nobody.")
    ] = False,
    fresh: common.Fresh = False,
    as_json: common.AsJson = False,
) -> None:
    """Make training rows out of seed queries."""
    settings = settings_of(
        config, model, price_in, price_out, max_cost=max_cost, concurrency=concurrency, seed=seed
    )
    if batch_again and batch_out is None:
        raise InputError("--batch-again says what --batch-out writes: give a file with --batch-out")
    if batch_out is not None:
        check_output(batch_out, seeds, config, personas, *(evaluation or []), store=output / LEDGER)
        if batch_out.resolve() in {(output / name).resolve() for name in RUN_FILES}:
            raise InputError(f"{batch_out} is a file of the run itself: name another with --batch-out")
    source = MS_MARCO if ms_marco else None
    chosen = drawn(read_seeds(seeds, source=source, column=column), limit, settings.seed)
    people = read_personas(personas)
    if dry:
        _show_plan(dry_run(chosen, people, settings), as_json)
        return
    with job_bar("seeds", len(chosen)) as on_progress:
        synthesis = synthesise_all(
            chosen,
            people,
            settings,
            output,
            offline=batch_out is not None,
            fresh=fresh,
            filters=usual_filters(settings, evaluation or []),
            on_progress=on_progress,
            say=common.say,
        )
    batch = None
    if batch_out is not None:
        with open_ledger(output) as (_, ledger):
            again = batch_again or fresh
            batch = write_batch(batch_out, synthesis.unasked, settings, ledger, again=again)
    _report(synthesis, synthesis.place, batch, as_json)
    if not (batch_out is not None and synthesis.unasked):
        end_unless_finished(synthesis.report, "row", synthesis.report["rows"])


@contextmanager
def job_bar(what: str, total: int | None) -> Iterator[Callable[[JobProgress], None]]:
    """A bar on stderr while a job runs; yields what is told of its progress."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[spent]}", markup=False),
    )
    with Progress(*columns, console=common.Terminal(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=total, spent="")

        def on_progress(progress: JobProgress) -> None:
            kept = f" · {progress.accepted:.0%} of passages kept" if progress.wanted else ""
            cost = in_dollars(progress.cost) if progress.priced else "cost unknown"
            spent = f"{number_of(progress.asked, 'call')} · {cost}{kept}"
            bars.update(bar, completed=progress.done, total=progress.total, spent=spent)

        yield on_progress


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
    with open_ledger(output) as (store, ledger), ExitStack() as held:
        if (begun := replies_begun(output, max_bytes=None)) is not None:
            held.enter_context(begun)
        committed, failed = read_batch(results, store, ledger, settings, begun)
    if as_json:
        common.emit({"committed": committed, "failed": failed})
        return
    common.say(
        f"{number_of(committed, 'reply')} committed"
        + (f", {len(failed)} failed; the first: {next(iter(failed.values()))}" if failed else "")
    )


def settings_of(
    config: Path | None,
    model: list[str] | None,
    price_in: list[str] | None = None,
    price_out: list[str] | None = None,
    **changes: Any,
) -> SynthSettings:
    """The settings of a file, of `role=model@address` pairs and their prices, or of both; the latter win.

    Raises:
        InputError: neither names a writer, a pair is written otherwise, or there is a limit of dollars and
            the price of a model is not known.
    """
    named = _named_models(model)
    settings = _unpriced_settings(config, named, {k: v for k, v in changes.items() if v is not None})
    roles = dict(settings.roles)
    for flag, field, values in (
        ("--price-in", "price_in", price_in),
        ("--price-out", "price_out", price_out),
    ):
        for name, dollars in _prices(flag, values, tuple(named or roles)).items():
            if name not in roles:
                raise InputError(f"{flag}: no model plays the role {name!r}; there are: {', '.join(roles)}")
            change: dict[str, Any] = {field: dollars}
            roles[name] = replace(roles[name], **change)
    settings = replace(settings, roles=roles).with_known_prices()
    settings.check_prices()
    return settings


def _prices(flag: str, values: list[str] | None, bare: Sequence[str]) -> dict[str, float]:
    """Dollars by role; a number without a role is for all of `bare`."""
    prices: dict[str, float] = {}
    for value in values or []:
        name, equals, number = value.rpartition("=")
        try:
            dollars = float(number)
        except ValueError:
            raise InputError(f"{flag} wants dollars or role=dollars, but got {value!r}") from None
        prices |= {name: dollars} if equals else {one: dollars for one in bare if one not in prices}
    return prices


def _named_models(model: list[str] | None) -> dict[str, Role]:
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
        roles[name] = Role(named, base_url=address or None)
    return roles


def _unpriced_settings(
    config: Path | None, roles: Mapping[str, Role], overrides: Mapping[str, Any]
) -> SynthSettings:
    if config is None:
        if not roles:
            raise InputError("name the models: --config settings.toml, or --model writer=…")
        return SynthSettings(roles=roles, **overrides)
    settings = read_settings(config, **overrides)
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
            common.tell(f"--- {prompt['role']} · {message['role']}\n{message['text']}\n")
    calls = ", ".join(f"{number:,} by the {role}" for role, number in plan["calls"].items())
    tokens = plan["tokens_at_most"]
    size = f"at most {number_of(tokens['read'], 'token')} read and {tokens['written']:,} written"
    common.say(f"{number_of(plan['seeds'], 'seed')}: {calls}; {size}; {_planned_cost(plan)}")
    if others := plan["played_by_writer"]:
        model = plan["models"]["writer"]
        common.say(f"no model is named for {', '.join(others)}: the writer's, {model}, plays them (--model)")


def _planned_cost(plan: Mapping[str, Any]) -> str:
    """What a run costs at most, as far as that is known, and of which roles it is not."""
    unpriced = [f"{name} ({plan['models'][name]})" for name in plan["unpriced"]]
    priced = [name for name in plan["calls"] if name not in plan["unpriced"]]
    if not unpriced:
        return f"at most {in_dollars(plan['cost_at_most'])}"
    unknown = f"cost unknown: no price is given for {', '.join(unpriced)} (--price-in and --price-out)"
    if not priced:
        return unknown
    return f"at most {in_dollars(plan['known_cost_at_most'])} for {', '.join(priced)}; {unknown}"


def cost_of(report: Mapping[str, Any]) -> str:
    """What a run cost, in words."""
    return "cost unknown" if report["cost"] is None else in_dollars(report["cost"])


def _report(synthesis: Synthesis, output: Path, batch: BatchFiles | None, as_json: bool) -> None:
    if as_json:
        files = [str(file) for file in batch.files] if batch is not None else []
        waiting = batch.waiting if batch is not None else 0
        wanted = {"wanted": len(synthesis.unasked), "waiting": waiting, "batch_files": files}
        common.emit(synthesis.report | wanted)
        return
    report = synthesis.report
    common.say(
        f"{report['finished']} of {number_of(report['seeds'], 'seed')}: "
        f"{number_of(report['rows'], 'row')} in {output} ({report['relevant']} relevant), "
        f"{report['rejected']} rejected, {cost_of(report)}"
    )
    if batch is not None:
        where = (
            f"{number_of(batch.asked, 'open request')} in {', '.join(map(str, batch.files))}"
            if batch.files
            else ""
        )
        left = f"beyond --max-cost: {number_of(batch.left, 'request')}" if batch.left else ""
        in_files = (
            f"in files of before: {number_of(batch.waiting, 'request')}; commit their results and "
            f"errors with `synth batch-in`, or write them once more with --batch-again"
            if batch.waiting
            else ""
        )
        common.say("; ".join(filter(None, (where, left, in_files))) or "no request is open: the run is done")


def end_unless_finished(report: Mapping[str, Any], what: str, count: int, *, of: str = "seed") -> None:
    """End with the exit code of a failure where something is unfinished or failed, or nothing was made.

    Args:
        report: of the run.
        what: it makes, as in `"row"`.
        count: how many.
        of: what each is made of.
    """
    problems = []
    unfinished, failed = report["unfinished"], report["failed"]
    if unfinished:
        name, why = next(iter(unfinished.items()))
        problems.append(f"{number_of(len(unfinished), of)} unfinished, as {name!r}: {why}")
    if failed:
        name, why = next(iter(failed.items()))
        problems.append(f"{number_of(len(failed), 'item')} failed, as {name!r}: {why}")
    again = "; the same command goes on" if unfinished or failed else ""
    again += " and asks again for what failed" if failed else ""
    if not count:
        rejected = [
            f"{sum(by_reason.values())} rejected by {stage} ({next(iter(by_reason))})"
            for stage, by_reason in report["reasons"].items()
        ]
        problems.insert(0, f"not one {what} was accepted")
        problems += rejected or ([] if failed or unfinished else [f"there was nothing to make a {what} of"])
    if problems:
        common.end_with_failures("; ".join(problems) + again)
