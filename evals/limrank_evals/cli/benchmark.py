"""`limrank eval NAME`: a benchmark from its source to a report, one command for each.

All commands have the same options but for a benchmark's own. So there is one function behind them; what a
command takes is put together from the fields of `Asked` and from the keyword-only parameters of the
benchmark's `load` (`limrank_evals.tasks`), and given to typer as the function's signature.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from limrank_evals.cli import showing
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
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.errors import InputError
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store

T = TypeVar("T")
SCHEMA = "limrank eval benchmark 1"
NONE, BENCHMARKS = "none", "benchmark"
# Published with such instructions around the queries; every other recipe is asked plainly unless told.
INSTRUCTED = ("limrank", "rank1")


Instruction = Annotated[
    str | None,
    typer.Option(
        help="What is put around the queries: benchmark (its own instructions), none, an instruction by "
        f"name, or text with {{{{ query }}}}. Default: benchmark for {' and '.join(INSTRUCTED)}, which "
        "were published with such; none for others.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Asked:
    """The options that every benchmark has beside `RerankerOptions`; some defaults are the benchmark's."""

    source: Annotated[str, typer.Option(help="The hub's repository, or a folder with its layout.")]
    split: Annotated[
        list[str] | None,
        typer.Option("--split", "-t", help="Repeat for more; default: all.", show_default=False),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the results; default: eval-NAME.", show_default=False),
    ] = None
    first_stage: Annotated[
        str,
        typer.Option(
            help="What finds the candidates: a retriever (bm25s, bm25q, rank_bm25, lucene, dense), perhaps "
            "with options (bm25s:k1=1.2,b=0.75), or several (bm25s+dense:model=folder); a run, a folder of "
            "runs <split>.run or a path with {split} in it (TREC, .jsonl, score.json; .gz); or given: the "
            "lists that come with the benchmark."
        ),
    ] = ""
    k: Annotated[int, typer.Option("--k", help="How many candidates of each query are reranked.")] = 100
    ties: Annotated[
        str, typer.Option(help="What decides between equal scores of a run: trec_eval or rank.")
    ] = "trec_eval"
    no_rerank: Annotated[bool, typer.Option("--no-rerank", help="Measure the first stage alone.")] = False
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="Instead of the benchmark's own: nDCG@10, R@20, p-MRR, …; repeat for more.",
            show_default=False,
        ),
    ] = None
    batch: Annotated[int, typer.Option(help="Queries ranked in lockstep and committed together.")] = 1
    store: Annotated[
        Path | None,
        typer.Option(help="Where answers and journals are kept; default: in the folder.", show_default=False),
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Start the folder's evaluation over.")] = False
    not_strict: Annotated[
        bool,
        typer.Option("--not-strict", help="Measure a set that has other counts than the published one."),
    ] = False
    as_json: common.AsJson = False


def register(evaluation: typer.Typer) -> None:
    """Add a command for every benchmark."""
    for name in task_names():
        task = load_task(name)
        evaluation.command(name, help=_help(task), short_help=task.title)(command(task))


def command(task: Task) -> Callable[..., None]:
    """The function that typer calls for a benchmark, with the signature that makes its options."""

    @reports_errors
    def run(**given: Any) -> None:
        asked, reranking = _taken(Asked, given), _taken(RerankerOptions, given)
        run_benchmark(task, asked, reranking, own=given)

    shared = dict(inspect.signature(Asked, eval_str=True).parameters)
    source = shared.pop("source")
    if task.source:
        source = source.replace(default=task.source)
    else:
        source = source.replace(annotation=Annotated[str, typer.Argument(help="The folder.")])
    shared["first_stage"] = shared["first_stage"].replace(default=task.first_stage)
    shared["k"] = shared["k"].replace(default=task.depth)
    reranking = dict(inspect.signature(RerankerOptions, eval_str=True).parameters)
    reranking["instruction"] = reranking["instruction"].replace(annotation=Instruction)
    first = [shared.pop(name) for name in ("split", "first_stage", "k")]
    joined = [source, *task.options(), *first, *reranking.values(), *shared.values()]
    # By keyword, so that an option with a default may stand before one without.
    joined = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in joined]
    run.__signature__ = inspect.Signature(joined)  # type: ignore[attr-defined]
    return run


def _taken(kind: type[T], given: dict[str, Any]) -> T:
    """An object of a dataclass from those of the options that are its fields; they are taken out."""
    return kind(**{field.name: given.pop(field.name) for field in fields(kind)})  # type: ignore[arg-type]


def _help(task: Task) -> str:
    splits = f"Splits: {', '.join(task.splits)}." if len(task.splits) > 1 else ""
    return "\n\n".join(filter(None, (task.title, task.about, splits)))


def run_benchmark(task: Task, asked: Asked, reranking: RerankerOptions, own: dict[str, Any]) -> None:
    """Evaluate the splits asked for and write the folder; `own` are the benchmark's own options."""
    own_instruction = reranking.instruction not in (None, NONE, BENCHMARKS)
    if asked.ties == "first-stage":
        raise InputError("--ties first-stage has no use here: what is reranked is ordered so anyway")
    splits = task.chosen(asked.split or [], asked.source, own)
    folder = asked.output if asked.output is not None else Path(f"eval-{task.name}")
    prepare_folder(folder, fresh=asked.fresh)
    evaluated: list[SplitEvaluation] = []
    with Store(asked.store if asked.store is not None else folder / STORE) as store:
        asking = reranking if own_instruction else replace(reranking, instruction=None)
        reranker = None if asked.no_rerank else asking.reranker(store)
        instruct = reranker is not None and _instructs(reranking.instruction, reranker)
        settings = {
            **_settings(task, asked, own),
            "resampling seed": reranking.seed,
            "recipe": None if reranker is None else reranker.recipe.name,
            "reranker": None if reranker is None else reranker.identity,
            "benchmark's instructions": instruct,
        }
        try:
            output = EvaluationFolder(folder, settings)
            for split in splits:
                strict, first_stage = not asked.not_strict, asked.first_stage
                part = task.part(split, asked.source, strict=strict, first_stage=first_stage, **own)
                found = _one(
                    split, part, asked, reranker, output, store, seed=reranking.seed, instruct=instruct
                )
                if not asked.as_json:
                    showing.show(found, part.averages)
                evaluated.append(slim(found))
        finally:
            if reranker is not None:
                reranker.close()
    write_reports(folder, evaluated)
    if asked.as_json:
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
    asked: Asked,
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
    ties = cast(TieRule, asked.ties)  # `arranged` refuses any other
    stage = open_first_stage(part, asked.first_stage, ties=ties, store=store)
    facts = {"texts and first stage": stage.digest, "judgements": _judged(part)}
    output.check(split, facts)
    found = evaluate(
        part,
        reranker,
        first_stage=stage,
        depth=asked.k,
        measures=tuple(asked.measure or ()),
        instruct=instruct,
        store=store,
        batch=asked.batch,
        seed=seed,
        shown=True,
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


def _settings(task: Task, asked: Asked, own: dict[str, Any]) -> dict[str, Any]:
    """What all splits of a folder have in common. Where files lie is not in it: what is in them is."""
    return {
        "benchmark": task.name,
        "source": "a folder" if Path(asked.source).is_dir() else asked.source,
        "options": {name: str(value) for name, value in own.items()},
        "strict": not asked.not_strict,
        "first_stage": asked.first_stage if names_retriever(asked.first_stage) else "runs",
        "ties": asked.ties,
        "depth": asked.k,
        "measures": asked.measure,
        "version": __version__,
    }


def _judged(part: Split) -> str:
    excluded = {query: sorted(found) for query, found in part.benchmark.excluded.items()}
    text = json.dumps([part.benchmark.qrels, excluded, part.benchmark.changed], sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
