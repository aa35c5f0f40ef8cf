"""`limrank eval NAME`: a benchmark from its source to a report, one command for each.

All commands are one function with one list of options. `BenchmarkCommand` adds what only one benchmark
has: its source, its own options (what its `load` takes) and its defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand

from limrank_evals.benchmark_evaluation import deciding, evaluate_splits
from limrank_evals.cli import split_tables
from limrank_evals.evaluation.evaluation_folder import split_files
from limrank_evals.evaluation.evaluator import slim
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.evaluation.systems import INSTRUCTED, instructs_by_default
from limrank_evals.guarded_folders import STORE, working_in
from limrank_evals.reporting import write_reports
from limrank_evals.reporting.averages import averages
from limrank_evals.retriever_specs import with_language
from limrank_evals.runs import TieRule
from limrank_evals.tasks import Task, load_task, task_names
from limrank_plugins.begun_anew import working_on
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.wording import number_of

SCHEMA = "limrank eval benchmark 1"
NONE, BENCHMARKS = "none", "benchmark"


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
        made = {parameter.name: parameter for parameter in [*_parameters(task.load), *_parameters(_corpus)]}
        own = [*_parameters(_hub if task.source else _folder), *(made[o.name] for o in task.options())]
        if task.source:
            own[0].default = task.source
        for parameter in own[1:]:
            parameter.help = task.helps.get(parameter.name, parameter.help)
            parameter.show_default = parameter.default not in (None, "")
        self.params[:0] = own
        self._own = [parameter.name for parameter in own]

    def invoke(self, ctx: Any) -> Any:
        """Call the function; what only this benchmark has is no parameter of it."""
        ctx.obj = {name: ctx.params.pop(name) for name in self._own}
        return super().invoke(ctx)


def _parameters(function: Callable[..., Any]) -> list[Any]:
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


def _corpus(
    field: common.Field = None, title_field: common.TitleField = None, passages: common.Passages = None
) -> None:
    """How the files of one's own corpus are read, as in all commands; for tasks that take such arguments."""


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
    language: common.Language = "english",
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
    template: reranking.Template = None,
    chunks: reranking.Chunks = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the results; default: eval-NAME.", show_default=False),
    ] = None,
    ties: Annotated[
        str, typer.Option(help="What decides between equal scores of a run: trec_eval or rank.")
    ] = "trec_eval",
    no_rerank: Annotated[bool, typer.Option("--no-rerank", help="Measure the first stage alone.")] = False,
    wrong_query: Annotated[
        bool,
        typer.Option(
            "--wrong-query",
            help="A control: ask the reranker about another query in the place of each. What it gains so, it "
            "does not gain by reading the query.",
        ),
    ] = False,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="Instead of the benchmark's own: nDCG@10, R@20, p-MRR, …; repeat for more.",
            show_default=False,
        ),
    ] = None,
    batch: reranking.Batch = 1,
    store: Annotated[
        Path | None,
        typer.Option(help="Where answers and journals are kept; default: in the folder.", show_default=False),
    ] = None,
    fresh: common.Fresh = False,
    not_strict: Annotated[
        bool,
        typer.Option("--not-strict", help="Measure a set that has other counts than the published one."),
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Evaluate the splits asked for and write the folder."""
    own: dict[str, Any] = dict(ctx.obj)
    source, task = own.pop("source"), load_task(ctx.info_name or "")
    splits = task.choose_splits(split or [], source, own)
    folder = output if output is not None else Path(f"eval-{task.name}")
    evaluations: list[SplitEvaluation] = []
    with ExitStack() as held:
        held.enter_context(working_in(folder))
        reranker = None
        if not no_rerank:
            reranker = RerankerOptions(
                recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens,
                None if instruction in (NONE, BENCHMARKS) else instruction, device, dtype, option, template,
                chunks=chunks,
            ).reranker(None)  # fmt: skip
            held.callback(reranker.close)
        asked: dict[str, Any] = {
            "reranker": reranker,
            "options": own,
            "first_stage": with_language(first_stage, language),
            "depth": k,
            "ties": cast(TieRule, ties),  # `arranged` refuses any other
            "measures": measure,
            "instruct": reranker is not None and _instructs(instruction, reranker),
            "wrong_query": wrong_query,
            "seed": seed,
            "strict": not not_strict,
        }
        same = {**deciding(task, source, **asked), "splits": splits}
        work = held.enter_context(working_on(folder, same, split_files, fresh=fresh, say=common.say))
        with (
            Store(work.place / STORE) if store is None else work.store(store) as answers,
            common.progress_bars() as progress,
        ):
            if reranker is not None:
                reranker.store = answers
            finished = evaluate_splits(
                task,
                splits,
                source,
                work.place,
                store=answers,
                batch=batch,
                say=common.say,
                progress=progress,
                **asked,
            )
            for loaded, evaluation in finished:
                if not as_json:
                    split_tables.show(evaluation, loaded.averages)
                evaluations.append(slim(evaluation))
        write_reports(work.place, evaluations)
        failures = sum(evaluation.failures for evaluation in evaluations)
        work.end(is_finished=not failures)
        folder = work.place
    means = averages(evaluations)
    if as_json:
        common.emit(
            {
                "benchmark": task.name,
                "output": str(folder),
                "means": [mean.as_json() for mean in means],
                "splits": {each.benchmark.split: each.as_json() for each in evaluations},
                "schema": SCHEMA,
            }
        )
    else:
        if len(evaluations) > 1:
            split_tables.show_means(means)
        common.say(f"report: {folder / 'report.html'} (report.json, table.md, table.tex beside it)")
    if failures:
        common.end_with_failures(
            f"{number_of(failures, 'document')} could not be judged; the numbers are not final: the same "
            f"command asks again for what failed"
        )


def _instructs(instruction: str | None, reranker: Reranker) -> bool:
    """Whether the benchmark's own instructions are used."""
    if instruction is None:
        return instructs_by_default(reranker.recipe.name)
    return instruction == BENCHMARKS
