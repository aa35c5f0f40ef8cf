"""`limrank rerank`: a file of queries in, a run out; goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from limrank_plugins.cli import common, reports_errors
from limrank_plugins.cli.grouped import grouped
from limrank_plugins.cli.reranking import USUAL, RerankerOptions
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.io import Candidate, check_trec_ids, ranking_record, read_queries, read_run, write_run
from limrank_plugins.rankings import check_cut
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store

Candidates = list[list[Document]]


@reports_errors
@grouped
def rerank(
    queries: Annotated[Path, typer.Option("--queries", "-q", help="Queries: .jsonl (_id, text) or .tsv.")],
    corpus: Annotated[str, typer.Option("--corpus", "-c", help="As for `limrank search`.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The run: TREC, or JSONL for .jsonl; .gz compresses.")
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="A first stage's run (TREC or JSONL). Without one, BM25 searches first."),
    ] = None,
    reranking: RerankerOptions = USUAL,
    retriever: common.FirstStage = "bm25s",
    k: common.Depth = 100,
    top_n: common.TopN = None,
    batch: Annotated[int, typer.Option(help="Queries ranked in lockstep and committed together.")] = 1,
    store: common.StorePath = None,
    as_json: common.AsJson = False,
) -> None:
    """Rerank the candidates of every query. After a kill, finished queries are not computed again."""
    check_cut(top_n, None)
    if k < 1 or batch < 1:
        raise InputError(f"--k and --batch must be > 0, but got {k} and {batch}")
    asked = read_queries(queries)
    candidates = _from_run(run, asked, corpus, k) if run else _searched(asked, corpus, retriever, k)
    if ".jsonl" not in output.name:
        # Before hours of work, not after.
        check_trec_ids((query.id for query in asked), "query id")
        check_trec_ids((d.id or "" for documents in candidates for d in documents), "document id")
    with common.open_store(store) as kept:
        reranker = reranking.reranker(kept)
        records, fresh = rank_all(reranker, asked, candidates, kept, batch=batch)
    write_run(output, [_cut(record, top_n) for record in records], tag=reranker.recipe.name)
    failures = sum(len(record["failures"]) for record in records)
    empty = sum(not record["hits"] for record in records)
    report: dict[str, Any] = {
        "output": str(output),
        "queries": len(records),
        "computed": fresh,
        "resumed": len(records) - fresh,
        "without_candidates": empty,
        "failures": failures,
    }
    if as_json:
        common.emit(report)
        return
    common.say(
        f"{len(records)} queries in {output}: {fresh} ranked now, {len(records) - fresh} from the journal"
        + (f"; {empty} had no candidates" if empty else "")
        + (f"; {failures} documents could not be judged (see a .jsonl output for why)" if failures else "")
    )


def rank_all(
    reranker: Reranker,
    queries: Sequence[Query],
    candidates: Candidates,
    store: Store,
    *,
    batch: int = 1,
    shown: bool = True,
) -> tuple[list[dict[str, Any]], int]:
    """Rank every query, committing each to the store's journal; returns the records and how many were new.

    `shown` draws a bar on stderr.
    """
    job = "rerank " + hashlib.sha256(reranker.identity.encode()).hexdigest()
    items = [_item(query, documents) for query, documents in zip(queries, candidates, strict=True)]
    done = store.committed(job)
    todo = [i for i, item in enumerate(items) if item not in done]
    columns = (
        TextColumn("reranking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as progress:
        bar = progress.add_task("", total=len(items), completed=len(items) - len(todo))
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            rankings = reranker.rank_many([(queries[i], candidates[i]) for i in part])
            for i, ranking in zip(part, rankings, strict=True):
                packed = json.dumps(ranking_record(ranking), ensure_ascii=True).encode("ascii")
                store.commit(job, items[i], packed)
                done[items[i]] = packed
            progress.advance(bar, len(part))
    return [json.loads(done[item]) for item in items], len(todo)


def _item(query: Query, documents: Sequence[Document]) -> str:
    """Names a query with everything its ranking depends on, so that a changed corpus is not resumed."""
    read = [(d.id, d.title, d.text, d.prior) for d in documents]
    content: list[Any] = [query.text, query.instruction, read]
    seen = [query.images, *(document.images for document in documents)]
    if any(seen):
        content.append([[hashlib.sha256(image.data).hexdigest() for image in images] for images in seen])
    digest = hashlib.sha256(json.dumps(content, ensure_ascii=True).encode("ascii")).hexdigest()
    return f"{json.dumps(query.id)} {digest}"


def _searched(queries: Sequence[Query], corpus: str, retriever: str, k: int) -> Candidates:
    index = common.open_index(corpus, retriever)
    return index.search_many(list(queries), k)


def _from_run(run: Path, queries: Sequence[Query], corpus: str, k: int) -> Candidates:
    found = read_run(run)
    known = {query.id for query in queries}
    _no_strangers([q for q in found if q not in known], run, "queries", "the file of queries")
    wanted = {c.document_id for candidates in found.values() for c in candidates[:k]}
    texts = {d.id: d for d in common.read_corpus(corpus) if d.id in wanted}
    _no_strangers(sorted(wanted - texts.keys()), run, "documents", "the corpus")

    def placed(candidate: Candidate) -> Document:
        return replace(texts[candidate.document_id], prior=candidate.score)

    return [[placed(c) for c in found.get(query.id, [])[:k]] for query in queries]


def _no_strangers(strangers: Sequence[str], run: Path, what: str, where: str) -> None:
    if strangers:
        shown = ", ".join(strangers[:5]) + (", …" if len(strangers) > 5 else "")
        raise InputError(f"{run} names {len(strangers)} {what} that {where} does not hold: {shown}")


def _cut(record: dict[str, Any], top_n: int | None) -> dict[str, Any]:
    return record | {"hits": record["hits"][:top_n]}
