"""`limrank bulk`: any number of queries, on one process or on a Ray cluster; goes on where it was killed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from limrank_pipelines.bulk import (
    MANIFEST,
    BulkPlan,
    deciding,
    jobs_beside,
    missing_partitions,
    partition_files,
    partitions,
    work_alone,
    working_in,
    written_records,
)
from limrank_pipelines.bulk_ray import check_actors, check_address, work_on_ray
from limrank_plugins.begun_anew import Workplace, working_on
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions, told_reranker
from limrank_plugins.corpus import Corpus, run_candidates
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_queries
from limrank_plugins.store import Store, default_store_path
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of


@reports_errors
def bulk(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the partitions (part-00000.jsonl, …).")
    ],
    jobs: Annotated[
        Path | None,
        typer.Option(help="JSONL, a query and its passages a line (docs/pipelines.md).", show_default=False),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", "-q", help="Instead: queries,", show_default=False)
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option("--corpus", "-c", help="a corpus (see `limrank search`),", show_default=False),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="and a first stage's run.", show_default=False)] = None,
    recipe: reranking.Recipe = None,
    model: reranking.Model = None,
    backend: reranking.Backend = None,
    reasoning: reranking.Reasoning = None,
    budget: reranking.Budget = None,
    samples: reranking.Samples = 1,
    seed: reranking.Seed = 0,
    max_reasoning_tokens: reranking.MaxReasoningTokens = None,
    instruction: common.Instruction = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    option: reranking.Options = None,
    template: reranking.Template = None,
    chunks: reranking.Chunks = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    k: common.Depth = 100,
    top_n: common.TopN = None,
    size: Annotated[int, typer.Option(help="Queries in a partition.")] = 100,
    batch: Annotated[int, typer.Option(help="Queries ranked in lockstep.")] = 1,
    workers: Annotated[int, typer.Option(help="Ray actors; 0: this process alone, without Ray.")] = 0,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster; default: this machine.", show_default=False)
    ] = None,
    cpus: Annotated[float, typer.Option(help="CPUs of an actor.")] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs of an actor.")] = 0,
    store: common.StorePath = None,
    fresh: common.Fresh = False,
    as_json: common.AsJson = False,
) -> None:
    """Rerank in partitions. After a kill, nothing is asked again that had been answered.

    Where documents could not be judged, a partition is named part-00000.incomplete.jsonl, and the exit code
    is 1: the same command asks again for what failed. Where none of its documents could be judged, it is
    not written.
    """
    options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, chunks=chunks,
    )  # fmt: skip
    options.check_recipe(top_n)
    if min(size, batch, k) < 1 or workers < 0:
        raise InputError(
            f"--size, --batch and --k must be > 0 and --workers >= 0: {size}, {batch}, {k}, {workers}"
        )
    check_actors(cpus, gpus)
    if address is not None:
        if not workers:
            raise InputError(
                f"--address {address} names a Ray cluster, but with --workers 0 this process does all the "
                f"work: say how many actors the cluster is to run (--workers 4), or leave --address out"
            )
        check_address(address)
    arguments = options.arguments()
    settings = arguments | {"top_n": top_n, "batch": batch}
    with working_in(output):
        documents = None if corpus is None else Corpus(corpus, field, title_field, passages)
        source = _jobs(jobs, queries, documents, run, k, output, fresh=fresh)
        parts, digest = partitions(source, size)
        same = deciding(parts, digest, size, settings)
        with working_on(output, same, partition_files, fresh=fresh, label=MANIFEST, say=common.say) as work:
            opener = _opener(work, store, is_cluster=address is not None)
            left = missing_partitions(work.place, parts, digest, size, settings)
            plan = BulkPlan(
                source.resolve(),
                work.place.resolve(),
                partial(told_reranker, **arguments),
                batch,
                top_n,
                opener,
            )
            if workers:
                done_now = work_on_ray(plan, left, workers=workers, address=address, cpus=cpus, gpus=gpus)
            else:
                done_now = work_alone(plan, left)
            ranked = failures = unwritten = 0
            reason = ""
            for number, done in enumerate(done_now, start=1):
                ranked, failures = ranked + done.queries, failures + done.failures
                reason = reason or done.reason
                failed = f", {number_of(done.failures, 'document')} failed" if done.failures else ""
                if done.failures and not done.judged:
                    unwritten += 1
                    failed = ", not one document could be judged: not written"
                queries_done = number_of(done.queries, "query")
                common.say(f"partition {done.number}: {queries_done}{failed} ({number} of {len(left)})")
            unread, empty = Unread(), 0
            for record in written_records(work.place, parts):  # of all, computed now or before
                unread += Unread.in_records([record])
                empty += not record["hits"]
            work.end(is_finished=not failures)
    output = work.place
    report = {
        "output": str(output),
        "partitions": len(parts),
        "computed": len(left) - unwritten,
        "not_written": unwritten,
        "queries_computed": ranked,
        "failures_computed": failures,
        "without_candidates": empty,
        **unread.as_json(),
    }
    if as_json:
        common.emit(report)
    else:
        sentences = [
            f"{number_of(len(parts) - unwritten, 'partition')} in {output}: "
            f"{len(left) - unwritten:,} computed now ({number_of(ranked, 'query')}), "
            f"{len(parts) - len(left):,} were there",
            *([f"{number_of(unwritten, 'partition')} not written"] if unwritten else []),
            *([f"{number_of(empty, 'query')} had no candidates"] if empty else []),
            *unread.sentences(),
        ]
        common.say("; ".join(sentences))
    if failures:
        common.end_with_failures(
            f"{number_of(failures, 'document')} could not be judged; the first one, {reason}. Their "
            f"partitions are not finished: the same command asks again for their queries"
        )


def _opener(work: Workplace, named: Path | None, *, is_cluster: bool) -> Callable[[], Store]:
    """What opens, in every worker, the store named, or the user's on the worker's machine.

    Raises:
        InputError: it cannot be opened here.
    """
    here = (default_store_path() if named is None else named).resolve()
    if work.is_anew and not is_cluster:
        with work.store(here) as begun:
            return partial(Store, begun.path.resolve())
    if here.exists():  # what is no store is told before the folder is made
        Store(here).close()
    # Machines share the place of what is begun anew over a network, where SQLite's locks cannot be relied on.
    path = None if named is None and is_cluster else here
    return partial(common.open_store, path, fresh=work.is_anew)


def _jobs(
    jobs: Path | None,
    queries: Path | None,
    corpus: Corpus | None,
    run: Path | None,
    k: int,
    output: Path,
    *,
    fresh: bool,
) -> Path:
    """The file of jobs: the one named, or one written beside the output from queries, corpus and run."""
    if jobs is not None and not (queries or corpus or run):
        return jobs
    if jobs is not None or queries is None or corpus is None or run is None:
        raise InputError("give either --jobs, or all of --queries, --corpus and --run")
    searched = read_queries(queries)
    candidates = run_candidates(run, searched, corpus, k)
    return jobs_beside(output, list(zip(searched, candidates, strict=True)), fresh=fresh)
