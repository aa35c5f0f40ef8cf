"""`limrank eval NAME`: a benchmark from its source to a report, one command for each.

All commands are one function with one list of options. `BenchmarkCommand` adds what only one benchmark
has: its source, its own options (`limrank_evals.cli.benchmark_options`) and its defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand

from limrank_evals.cli import showing
from limrank_evals.cli.benchmark_options import OWN_OPTIONS
from limrank_evals.evaluation.evaluation_folder import EvaluationFolder, prepare_folder
from limrank_evals.evaluation.evaluator import evaluate, slim
from limrank_evals.evaluation.first_stages import open_first_stage
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.guarded_folders import STORE
from limrank_evals.reporting import write_reports
from limrank_evals.reporting.averages import averages
from limrank_evals.retriever_specs import names_retriever
from limrank_evals.runs import TieRule
from limrank_evals.splits import Split
from limrank_evals.tasks import Task, load_task, task_names
from limrank_plugins import __version__
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.errors import InputError
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store

SCHEMA = "limrank eval benchmark 1"
NONE, BENCHMARKS = "none", "benchmark"
# Published with such instructions around the queries; every other recipe is asked plainly unless told.
INSTRUCTED = ("limrank", "rank1")


@dataclass(frozen=True)
class BenchmarkOptions:
    """The options that every benchmark has beside `RerankerOptions`."""

    source: str
    split: list[str] | None
    first_stage: str
    k: int
    output: Path | None
    ties: str
    no_rerank: bool
    measure: list[str] | None
    batch: int
    store: Path | None
    fresh: bool
    not_strict: bool
    as_json: bool


class BenchmarkCommand(TyperCommand):
    """The command of the benchmark it is named for; `ctx.obj` holds the values of what only that one has."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        task = load_task(name or "")
        for parameter in self.params:
            if parameter.name == "first_stage":
                parameter.default = task.first_stage
            elif parameter.name == "k":
                parameter.default = task.depth
        own = _parameters(_hub if task.source else _folder)
        if task.source:
            own[0].default = task.source
        if task.name in OWN_OPTIONS:
            own += _parameters(OWN_OPTIONS[task.name])
        self.params[:0] = own
        self._own = [parameter.name for parameter in own]

    def invoke(self, ctx: Any) -> Any:
        """Call the function; what only this benchmark has is no parameter of it."""
        ctx.obj = {name: ctx.params.pop(name) for name in self._own}
        return super().invoke(ctx)


def _parameters(function: Callable[..., None]) -> list[Any]:
    """The options and arguments that typer makes of a function's parameters."""
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return list(typer.main.get_command(app).params)


def _hub(
    source: Annotated[str, typer.Option(help="The hub's repository, or a folder with its layout.")] = "",
) -> None:
    """Where a benchmark of the hub is."""


def _folder(source: Annotated[str, typer.Argument(help="The folder.")]) -> None:
    """Where one is that the hub does not have."""


def register(evaluation: typer.Typer) -> None:
    """Add a command for every benchmark."""
    for name in task_names():
        task = load_task(name)
        add = evaluation.command(name, cls=BenchmarkCommand, help=_help(task), short_help=task.title)
        add(benchmark)


def _help(task: Task) -> str:
    splits = f"Splits: {', '.join(task.splits)}." if len(task.splits) > 1 else ""
    return "\n\n".join(filter(None, (task.title, task.about, splits)))


@reports_errors
def benchmark(
    ctx: typer.Context,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", "-t", help="Repeat for more; default: all.", show_default=False),
    ] = None,
    first_stage: Annotated[
        str,
        typer.Option(
            help="What finds the candidates: a retriever (bm25s, bm25q, rank_bm25, lucene, dense), perhaps "
            "with options (bm25s:k1=1.2,b=0.75), or several (bm25s+dense:model=folder); a run, a folder of "
            "runs <split>.run or a path with {split} in it (TREC, .jsonl, score.json; .gz); or given: the "
            "lists that come with the benchmark."
        ),
    ] = "",
    k: Annotated[int, typer.Option("--k", help="How many candidates of each query are reranked.")] = 100,
    recipe: reranking.Recipe = None,
    model: reranking.Model = None,
    backend: reranking.Backend = None,
    reasoning: reranking.Reasoning = None,
    budget: reranking.Budget = None,
    samples: reranking.Samples = 1,
    seed: reranking.Seed = 0,
    max_reasoning_tokens: reranking.MaxReasoningTokens = None,
    instruction: Annotated[
        str | None,
        typer.Option(
            help="What is put around the queries: benchmark (its own instructions), none, an instruction by "
            f"name, or text with {{{{ query }}}}. Default: benchmark for {' and '.join(INSTRUCTED)}, which "
            "were published with such; none for others.",
            show_default=False,
        ),
    ] = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    option: reranking.Options = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the results; default: eval-NAME.", show_default=False),
    ] = None,
    ties: Annotated[
        str, typer.Option(help="What decides between equal scores of a run: trec_eval or rank.")
    ] = "trec_eval",
    no_rerank: Annotated[bool, typer.Option("--no-rerank", help="Measure the first stage alone.")] = False,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="Instead of the benchmark's own: nDCG@10, R@20, p-MRR, …; repeat for more.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Queries ranked in lockstep and committed together.")] = 1,
    store: Annotated[
        Path | None,
        typer.Option(help="Where answers and journals are kept; default: in the folder.", show_default=False),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start the folder's evaluation over.")] = False,
    not_strict: Annotated[
        bool,
        typer.Option("--not-strict", help="Measure a set that has other counts than the published one."),
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Evaluate the splits asked for and write the folder."""
    own: dict[str, Any] = dict(ctx.obj)
    options = BenchmarkOptions(
        own.pop("source"), split, first_stage, k, output, ties, no_rerank, measure, batch, store, fresh,
        not_strict, as_json,
    )  # fmt: skip
    reranker_options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option,
    )  # fmt: skip
    run_benchmark(load_task(ctx.info_name or ""), options, reranker_options, own)


def run_benchmark(
    task: Task, options: BenchmarkOptions, reranker_options: RerankerOptions, own: dict[str, Any]
) -> None:
    """Evaluate the splits asked for and write the folder; `own` are the benchmark's own options."""
    own_instruction = reranker_options.instruction not in (None, NONE, BENCHMARKS)
    if options.ties == "first-stage":
        raise InputError("--ties first-stage has no use here: what is reranked is ordered so anyway")
    splits = task.chosen(options.split or [], options.source, own)
    folder = options.output if options.output is not None else Path(f"eval-{task.name}")
    prepare_folder(folder, fresh=options.fresh)
    evaluated: list[SplitEvaluation] = []
    with Store(options.store if options.store is not None else folder / STORE) as store:
        asking = reranker_options if own_instruction else replace(reranker_options, instruction=None)
        reranker = None if options.no_rerank else asking.reranker(store)
        instruct = reranker is not None and _instructs(reranker_options.instruction, reranker)
        settings = {
            **_settings(task, options, own),
            "resampling seed": reranker_options.seed,
            "recipe": None if reranker is None else reranker.recipe.name,
            "reranker": None if reranker is None else reranker.identity,
            "benchmark's instructions": instruct,
        }
        try:
            output = EvaluationFolder(folder, settings)
            for split in splits:
                strict, first_stage = not options.not_strict, options.first_stage
                part = task.part(split, options.source, strict=strict, first_stage=first_stage, **own)
                found = _one(
                    split,
                    part,
                    options,
                    reranker,
                    output,
                    store,
                    seed=reranker_options.seed,
                    instruct=instruct,
                )
                if not options.as_json:
                    showing.show(found, part.averages)
                evaluated.append(slim(found))
        finally:
            if reranker is not None:
                reranker.close()
    write_reports(folder, evaluated)
    if options.as_json:
        common.emit(
            {
                "benchmark": task.name,
                "output": str(folder),
                "means": [mean.as_json() for mean in averages(evaluated)],
                "splits": {one.benchmark.split: showing.as_json(one) for one in evaluated},
                "schema": SCHEMA,
            }
        )
        return
    if len(evaluated) > 1:
        showing.show_means(averages(evaluated))
    common.say(f"report: {folder / 'report.html'} (report.json, table.md, table.tex beside it)")


def _one(
    split: str,
    part: Split,
    options: BenchmarkOptions,
    reranker: Reranker | None,
    output: EvaluationFolder,
    store: Store,
    *,
    seed: int,
    instruct: bool,
) -> SplitEvaluation:
    common.say(
        f"{part.benchmark.name} {part.benchmark.split}: {len(part.benchmark.queries):,} queries, "
        f"{len(part.benchmark.documents):,} documents ({part.benchmark.licence or 'licence not known'})"
    )
    ties = cast(TieRule, options.ties)  # `arranged` refuses any other
    stage = open_first_stage(part, options.first_stage, ties=ties, store=store)
    facts = {"texts and first stage": stage.digest, "judgements": _judged(part)}
    output.check(split, facts)
    with common.progress_bars() as show:
        found = evaluate(
            part,
            reranker,
            first_stage=stage,
            depth=options.k,
            measures=tuple(options.measure or ()),
            instruct=instruct,
            store=store,
            batch=options.batch,
            seed=seed,
            progress=partial(show, "reranking"),
        )
    for warning in found.warnings:
        common.say(f"note: {warning}")
    output.write(split, facts, found)
    return found


def _instructs(instruction: str | None, reranker: Reranker) -> bool:
    """Whether the benchmark's own instructions are used."""
    if instruction is None:
        return reranker.recipe.name.partition(":")[0] in INSTRUCTED
    return instruction == BENCHMARKS


def _settings(task: Task, options: BenchmarkOptions, own: dict[str, Any]) -> dict[str, Any]:
    """What all splits of a folder have in common. Where files lie is not in it: what is in them is."""
    return {
        "benchmark": task.name,
        "source": "a folder" if Path(options.source).is_dir() else options.source,
        "options": {name: str(value) for name, value in own.items()},
        "strict": not options.not_strict,
        "first_stage": options.first_stage if names_retriever(options.first_stage) else "runs",
        "ties": options.ties,
        "depth": options.k,
        "measures": options.measure,
        "version": __version__,
    }


def _judged(part: Split) -> str:
    excluded = {query: sorted(found) for query, found in part.benchmark.excluded.items()}
    text = json.dumps([part.benchmark.qrels, excluded, part.benchmark.changed], sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
