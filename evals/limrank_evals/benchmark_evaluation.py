"""The splits of a benchmark evaluated one after another into a folder, which goes on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from limrank_evals.comparison import Resampling
from limrank_evals.evaluation.evaluation_folder import EvaluationFolder
from limrank_evals.evaluation.evaluator import evaluate
from limrank_evals.evaluation.first_stages import open_first_stage
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.retriever_specs import names_retriever
from limrank_evals.runs import TieRule
from limrank_evals.splits import Split
from limrank_evals.tasks import Task
from limrank_plugins import __version__
from limrank_plugins.errors import InputError
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.wording import number_of


def deciding(
    task: Task,
    source: str,
    *,
    reranker: Reranker | None = None,
    options: Mapping[str, Any] | None = None,
    first_stage: str,
    depth: int,
    ties: TieRule = "trec_eval",
    measures: Sequence[str] | None = None,
    instruct: bool = False,
    wrong_query: bool = False,
    seed: int = 0,
    strict: bool = True,
) -> dict[str, Any]:
    """What makes it this evaluation, whatever its splits, as JSON; the arguments are `evaluate_splits`'s."""
    # Where files lie is not among the settings: what is in them is, split by split.
    return {
        "benchmark": task.name,
        "source": "a folder" if Path(source).is_dir() else source,
        "options": {name: str(value) for name, value in (options or {}).items()},
        "strict": strict,
        "first_stage": first_stage if names_retriever(first_stage) else "runs",
        "ties": ties,
        "depth": depth,
        "measures": measures,
        "version": __version__,
        "resampling seed": seed,
        "recipe": None if reranker is None else reranker.recipe.name,
        "reranker": None if reranker is None else reranker.identity,
        "benchmark's instructions": instruct,
        **({"asked about": "another query"} if wrong_query else {}),
    }


def evaluate_splits(
    task: Task,
    splits: Sequence[str],
    source: str,
    folder: Path,
    *,
    store: Store,
    reranker: Reranker | None = None,
    options: Mapping[str, Any] | None = None,
    first_stage: str,
    depth: int,
    ties: TieRule = "trec_eval",
    measures: Sequence[str] | None = None,
    instruct: bool = False,
    wrong_query: bool = False,
    batch: int = 1,
    seed: int = 0,
    strict: bool = True,
    say: Callable[[str], object] = lambda _: None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[tuple[Split, SplitEvaluation]]:
    """Evaluate splits and write their files; each is yielded when its files are there.

    Args:
        task: the benchmark.
        splits: `task.choose_splits`.
        source: the hub's repository or a folder.
        folder: where to; hold it with `guarded_folders.working_in`.
        store: keeps what was found and ranked.
        reranker: None scores the first stage alone.
        options: the benchmark's own.
        first_stage: a retriever, a run or `given`; see `open_first_stage`.
        depth: how many candidates are reranked and scored.
        ties: what puts equal scores of a first stage's run in order.
        measures: instead of the benchmark's own.
        instruct: ask with the benchmark's own instructions.
        wrong_query: a control; see `evaluate`.
        batch: queries that are ranked in lockstep and kept together.
        seed: of the resampling.
        strict: a count that is not the published one is an error, not a warning.
        say: gets a sentence for people: what was loaded, and every warning.
        progress: gets the stage, how many queries are reranked, and how many there are.

    Raises:
        InputError: the folder holds an evaluation with other settings, or what loading and evaluating raise.
    """
    if ties == "first-stage":
        raise InputError(
            "ties must be trec_eval or rank, but got 'first-stage': what is reranked is ordered so anyway"
        )
    options = options or {}
    output = EvaluationFolder(
        folder,
        deciding(
            task,
            source,
            reranker=reranker,
            options=options,
            first_stage=first_stage,
            depth=depth,
            ties=ties,
            measures=measures,
            instruct=instruct,
            wrong_query=wrong_query,
            seed=seed,
            strict=strict,
        ),
    )
    for name in splits:
        split = task.load_split(name, source, strict=strict, first_stage=first_stage, **options)
        benchmark = split.benchmark
        say(
            f"{benchmark.name} {benchmark.split}: {number_of(len(benchmark.queries), 'query')}, "
            f"{number_of(len(benchmark.documents), 'document')} ({benchmark.licence or 'licence not known'})"
        )
        stage = open_first_stage(split, first_stage, ties=ties, store=store)
        facts = {"texts and first stage": stage.digest, "judgements": split.judgements_digest}
        output.check(name, facts)
        evaluation = evaluate(
            split,
            reranker,
            first_stage=stage,
            depth=depth,
            measures=tuple(measures or ()),
            instruct=instruct,
            wrong_query=wrong_query,
            store=store,
            batch=batch,
            resampling=Resampling(seed=seed),
            progress=None if progress is None else partial(progress, "reranking"),
        )
        for warning in evaluation.warnings:
            say(f"note: {warning}")
        output.write(name, facts, evaluation)
        yield split, evaluation
