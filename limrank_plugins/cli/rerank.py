"""`limrank rerank`: a file of queries in, a run out; goes on where it was killed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.backends.counting import UsageSum
from limrank_plugins.backends.loading_time import loading_seconds
from limrank_plugins.begun_anew import working_on
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.corpus import Corpus, corpus_files, run_candidates
from limrank_plugins.errors import InputError
from limrank_plugins.io import INCOMPLETE, check_trec_ids, holds_json_lines, is_run, read_queries, write_run
from limrank_plugins.locks import alone_at
from limrank_plugins.outputs import check_ours, check_output
from limrank_plugins.ranking_job import rank_all
from limrank_plugins.retrievers.languages import DEFAULT
from limrank_plugins.store import default_store_path
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of, shortened


@reports_errors
def rerank(
    queries: Annotated[Path, typer.Option("--queries", "-q", help=common.QUERIES)],
    corpus: common.CorpusOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The run: TREC, or JSONL for .jsonl; .gz compresses.")
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="A first stage's run (TREC or JSONL). Without one, BM25 searches first."),
    ] = None,
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
    calibration: reranking.Calibration = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    retriever: common.FirstStage = "bm25s",
    language: common.Language = "english",
    k: common.Depth = 100,
    top_n: common.TopN = None,
    threshold: reranking.Threshold = None,
    batch: reranking.Batch = 1,
    store: common.StorePath = None,
    fresh: common.Fresh = False,
    as_json: common.AsJson = False,
) -> None:
    """Rerank the candidates of every query. After a kill, finished queries are not computed again.

    Where documents could not be judged, the run is written, its tag ends in -incomplete, and the exit code
    is 1: the same command asks for what is missing. Where none could be judged, nothing is written. One that
    was begun anew never replaces a run of before as long as documents could not be judged.
    """
    options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, calibration, chunks=chunks,
    )  # fmt: skip
    options.check_recipe(top_n, threshold)
    whole_number("--k", k, least=1)
    whole_number("--batch", batch, least=1)
    source = Corpus(corpus, field, title_field, passages)
    check_output(output, queries, run, *corpus_files(source), store=store)
    check_ours(output, is_run, option="--output")
    searched = read_queries(queries)
    if run is not None and language != DEFAULT:
        raise InputError(f"--language {language} is for a search, but --run names what was found: drop one")
    if run is None:
        index = common.open_index(source, retriever, language=language)
        candidates, retriever = index.search_many(searched, k), index.name
    else:
        candidates = run_candidates(run, searched, source, k)
    if not holds_json_lines(output):
        # Before hours of work, not after.
        check_trec_ids((query.id for query in searched), "query id")
        check_trec_ids((d.id or "" for documents in candidates for d in documents), "document id")
    loaded = loading_seconds()
    reranker = options.reranker(None)
    same = {
        "reranker": reranker.identity,
        "searched": [str(queries), str(source), retriever if run is None else str(run)],
        **({} if language == DEFAULT else {"language": language}),
        "k": k,
        "top_n": top_n,
        **({} if threshold is None else {"threshold": threshold}),
    }
    spent = UsageSum()
    with alone_at(output), working_on(output, same, fresh=fresh, say=common.say) as work:
        opened = work.store(store if store is not None else default_store_path())
        with opened, common.progress_bars() as show:
            reranker.store = opened
            records, computed = rank_all(
                reranker,
                searched,
                candidates,
                opened,
                batch=batch,
                threshold=threshold,
                progress=partial(show, "reranking"),
                spent=spent,
            )
        cut = [record | {"hits": record["hits"][:top_n]} for record in records]
        failed = [failure for record in records for failure in record["failures"]]
        failures = len(failed)
        if failed and work.is_anew and work.has_earlier:
            output = work.place / output.name
        write_run(output, cut, tag=reranker.recipe.name + (INCOMPLETE if failed else ""))
        work.end(is_finished=not failed)
    empty = sum(not documents for documents in candidates)
    unread = Unread.in_records(records)
    report: dict[str, Any] = {
        "output": str(output),
        "queries": len(records),
        "computed": computed,
        "resumed": len(records) - computed,
        "without_candidates": empty,
        "failures": failures,
        **unread.as_json(),
        **reranking.usage_report(spent.usage),
        "loading_seconds": loading_seconds() - loaded,
    }
    if as_json:
        common.emit(report)
    else:
        parts = [
            f"{number_of(len(records), 'query')} in {output} by {reranker.recipe.name}: {computed:,} ranked "
            f"now, {report['resumed']:,} kept from before",
            *([f"{empty:,} had no candidates"] if empty else []),
            *unread.sentences(chunks=reranking.could_chunk(reranker)),
            *reranking.cost_words(spent.usage, priced=computed > 0 and reranking.has_price(reranker)),
        ]
        common.say("; ".join(parts))
    if failed:
        queries_failed = sum(bool(record["failures"]) for record in records)
        first = f"{shortened(failed[0]['id'])!r}: {failed[0]['reason']}"
        common.end_with_failures(
            f"{number_of(failures, 'document')} of {number_of(queries_failed, 'query')} could not be judged "
            f"and keep their first-stage places; the first one, {first}. "
            f"The same command asks again for what failed"
        )
