"""Many queries ranked as one job that goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from limrank_plugins.backends.counting import UsageSum
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError
from limrank_plugins.io import ranking_record
from limrank_plugins.jobs import Job
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.wording import shortened


def rank_all(
    reranker: Reranker,
    queries: Sequence[Query],
    candidates: Sequence[Sequence[Document]],
    store: Store,
    *,
    batch: int = 1,
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    spent: UsageSum | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """Rank every query, committing each whose documents were all judged to the store's journal.

    A query with a document that could not be judged is not finished: the same call ranks it again, for
    which only the replies that are missing are asked for where the reranker has a store.

    Args:
        reranker: ranks; a query that it ranked before, with equal candidates, is not ranked again.
        queries: what is searched for.
        candidates: the documents of each query, in first-stage order.
        store: holds the journal.
        batch: queries ranked in lockstep and committed together.
        threshold: as for `Reranker.rank`.
        progress: called with (finished, all) queries at the start and after every batch.
        spent: what the queries that are ranked now take is added to it.

    Returns:
        A `ranking_record` for each query, with what `made_by` says, and how many queries were ranked now.

    Raises:
        BackendError: documents failed, and not one was judged: such rankings are the first stage's.
    """
    identity = reranker.identity + ("" if threshold is None else f"|threshold {threshold!r}")
    job = Job(store, "rerank " + hashlib.sha256(identity.encode()).hexdigest())
    items = [_item(query, documents) for query, documents in zip(queries, candidates, strict=True)]
    records: dict[int, dict[str, Any]] = {}
    for i, item in enumerate(items):
        record = job.find(item)
        # Earlier versions committed failures, too.
        if record is not None and not record["failures"]:
            records[i] = record
    open_queries = [i for i in range(len(items)) if i not in records]
    finished = len(items) - len(open_queries)
    if progress is not None:
        progress(finished, len(items))
    for start in range(0, len(open_queries), batch):
        part = open_queries[start : start + batch]
        rankings = reranker.rank_many([(queries[i], candidates[i]) for i in part], threshold=threshold)
        for i, ranking in zip(part, rankings, strict=True):
            records[i] = ranking_record(ranking)
            if spent is not None:
                spent.usage = spent.usage + ranking.usage
            if not ranking.failures:
                job.commit(items[i], records[i])
        if progress is not None:
            progress(finished + start + len(part), len(items))
    ranked = [records[i] | made_by(reranker) for i in range(len(items))]
    _refuse_unjudged(ranked, candidates)
    return ranked, len(open_queries)


def made_by(reranker: Reranker) -> dict[str, Any]:
    """What a calibration that is fitted to the records of rankings has to know of their scores."""
    return {"reranker": reranker.made_for, "calibrated": reranker.calibration is not None}


def judged_documents(records: Sequence[Mapping[str, Any]], candidates: Sequence[Sequence[Document]]) -> int:
    """How many documents were judged; one alone, of which no order can be asked, was not without a score.

    Args:
        records: a `ranking_record` of each query, perhaps cut to its first hits.
        candidates: all documents of each query.
    """
    judged = 0
    for record, documents in zip(records, candidates, strict=True):
        failed = len(record["failures"])
        if len(documents) > 1 or failed or any(hit["score"] is not None for hit in record["hits"]):
            judged += len(documents) - failed
    return judged


def _refuse_unjudged(records: Sequence[dict[str, Any]], candidates: Sequence[Sequence[Document]]) -> None:
    """What judged nothing must not be taken for a system's rankings."""
    failed = [failure for record in records for failure in record["failures"]]
    if failed and not judged_documents(records, candidates):
        first = f"{shortened(failed[0]['id'])!r}: {failed[0]['reason']}"
        given = sum(map(len, candidates))
        none = "the document could not" if given == 1 else f"none of the {given:,} documents could"
        raise BackendError(
            f"{none} be judged, so there is no ranking to write; the first one, {first}. The same command "
            f"asks again"
        )


def _item(query: Query, documents: Sequence[Document]) -> str:
    """Names a query with everything its ranking depends on, so that a changed corpus is not resumed."""
    texts = [(d.id, d.title, d.text, d.prior) for d in documents]
    content: list[Any] = [query.text, query.instruction, texts]
    images = [query.images, *(document.images for document in documents)]
    if any(images):
        content.append([[hashlib.sha256(image.data).hexdigest() for image in group] for group in images])
    digest = hashlib.sha256(json.dumps(content, ensure_ascii=True).encode("ascii")).hexdigest()
    return f"{json.dumps(query.id)} {digest}"
