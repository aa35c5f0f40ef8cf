"""BRIGHT (arXiv 2407.12883): 12 tasks whose relevant documents take reasoning to find.

The hub's `xlangai/BRIGHT` has a configuration `documents` (`id`, `content`), `long_documents`, `examples`
(`id`, `query`, `excluded_ids`, `gold_ids`, `gold_ids_long`) and one for each model's reasoning queries, such
as `gpt4_reason`; the split is the task. Excluded documents go before any cut: `limrank_evals.exclusion`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from limrank_evals.exclusion import check_judgements, without_nothing
from limrank_evals.judgements import Qrels, about_judgements, read_judgements
from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.dataset_rows import dataset_rows, field, identifier
from limrank_evals.split_files import split_file
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import instructions

HUB = "xlangai/BRIGHT"
LICENCE = "CC BY 4.0 (its texts from StackExchange: CC BY-SA)"

# Queries of each task, as published: 1,384 in all.
BRIGHT_TASKS = {
    "biology": 103,
    "earth_science": 116,
    "economics": 103,
    "psychology": 101,
    "robotics": 101,
    "stackoverflow": 117,
    "sustainable_living": 108,
    "leetcode": 142,
    "pony": 112,
    "aops": 111,
    "theoremqa_questions": 194,
    "theoremqa_theorems": 76,
}
# Tasks that have no long documents.
SHORT_ONLY = ("leetcode", "aops", "theoremqa_questions", "theoremqa_theorems")


def load_bright(
    task: str,
    source: str | os.PathLike[str] = HUB,
    *,
    long: bool = False,
    reasoning: str = "",
    qrels: str | os.PathLike[str] | None = None,
    strict: bool = True,
) -> Benchmark:
    """Load one task.

    Args:
        task: one of `BRIGHT_TASKS`.
        source: the hub's repository, or a folder with its layout.
        long: whole pages and `gold_ids_long` instead of passages and `gold_ids`.
        reasoning: search with the queries of this configuration (`gpt4_reason`); rerankers are to be
            shown the original ones, which `load_bright` gives without it.
        qrels: other judgements than the published ones, for example Anserini's corrected ones.
        strict: a number of queries that is not the published one is an error, not a warning.

    Raises:
        InputError: an unknown task, one without long documents, wrong rows or counts, or a document
            that is both relevant and excluded.
        BackendError: the hub cannot be read.
    """
    if task not in BRIGHT_TASKS:
        raise InputError(f"BRIGHT has no task {task!r}; it has {', '.join(BRIGHT_TASKS)}")
    if long and task in SHORT_ONLY:
        raise InputError(f"BRIGHT's task {task} has no long documents")
    examples = list(dataset_rows(source, "examples", task))
    where = f"BRIGHT {task}"
    queries = _queries(examples, where) if not reasoning else bright_queries(task, source, reasoning)
    golds = "gold_ids_long" if long else "gold_ids"
    ids = [identifier(row, where, "id") for row in examples]
    relevant = (without_nothing(field(row, golds, where, list)) for row in examples)
    published = {name: dict.fromkeys(documents, 1) for name, documents in zip(ids, relevant, strict=True)}
    unwanted = (without_nothing(field(row, "excluded_ids", where, list)) for row in examples)
    excluded = {name: frozenset(documents) for name, documents in zip(ids, unwanted, strict=True)}
    graded: Qrels = published if qrels is None else read_judgements(qrels)
    check_judgements(graded, excluded)
    variant = ("long" if long else "published") if qrels is None else os.path.basename(qrels)
    notes = [] if qrels is None else about_judgements(qrels)
    documents = (
        Document(field(row, "content", where), identifier(row, where, "id"))
        for row in dataset_rows(source, "long_documents" if long else "documents", task)
    )
    return Benchmark(
        "BRIGHT",
        task,
        queries,
        tuple(documents),
        graded,
        excluded,
        licence=LICENCE,
        variant=variant,
        warnings=(
            *check_count(f"{where}, queries", len(queries), BRIGHT_TASKS[task], strict=strict),
            *notes,
        ),
        by_model=bool(notes),
    )


def bright_queries(
    task: str, source: str | os.PathLike[str] = HUB, configuration: str = "examples"
) -> tuple[Query, ...]:
    """The queries of a task in the wording of a configuration, `examples` or `gpt4_reason`.

    Raises:
        InputError: wrong rows, or no such configuration in a folder.
        BackendError: the hub cannot be read.
    """
    return _queries(dataset_rows(source, configuration, task), f"BRIGHT {task}, {configuration}")


def _queries(rows: Iterable[dict[str, Any]], where: str) -> tuple[Query, ...]:
    return tuple(Query(field(row, "query", where), identifier(row, where, "id")) for row in rows)


MEASURES = ("nDCG@10", "R@10", "R@100", "RR@10")
ORIGINAL = "original"
# How BRIGHT's judgements are called where they lie in a folder of their own.
_QRELS = ("{split}.txt", "{split}.trec", "{split}.tsv", "{split}.qrels.txt", "qrels.{split}.txt")


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    long: bool = False,
    queries: str = ORIGINAL,
    qrels: str | None = None,
) -> Split:
    """One task; raises as `load_bright` does."""
    judged = split_file(qrels, split, _QRELS, "--qrels") if qrels is not None else None
    benchmark = load_bright(
        split, source, long=long, qrels=None if judged is None else judged.path, strict=strict
    )
    if judged is not None:
        benchmark = replace(benchmark, variant=judged.name)
    return Split(
        benchmark,
        MEASURES,
        searched=() if queries == ORIGINAL else _reworded(benchmark.queries, split, source, queries),
        queries=queries,
        instruction=f"bright/{split}" if f"bright/{split}" in instructions() else "bright",
        prompts="bright, in this package's words",
    )


def _reworded(ours: tuple[Query, ...], split: str, source: str, queries: str) -> tuple[Query, ...]:
    """The other wording, in the order of the original queries."""
    texts = {query.id: query for query in bright_queries(split, source, queries)}
    missing = [query.id for query in ours if query.id not in texts]
    if missing:
        raise InputError(f"{queries} of BRIGHT {split} has no wording of query {missing[0]!r}")
    return tuple(texts[query.id] for query in ours)


def find(source: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """All tasks, or those that have long documents."""
    return tuple(task for task in BRIGHT_TASKS if not (options.get("long") and task in SHORT_ONLY))


TASK = Task(
    name="bright",
    title="BRIGHT (arXiv 2407.12883): 12 tasks whose relevant documents take reasoning to find.",
    about=(
        "Every task's excluded documents are removed before the cut. Its leaderboard's BM25, which weights "
        "the query's terms, too, is --first-stage bm25q (without Java: bm25q:analysis=snowball). Published "
        "tables rerank the first 100, the script that came with LimRank the first 10: --k 10."
    ),
    load=load,
    splits=tuple(BRIGHT_TASKS),
    source=HUB,
    find=find,
    helps={
        "long": f"Whole pages, judged as such; not for {', '.join(SHORT_ONLY)}, which have none.",
        "queries": "What the first stage searches with: original, or a configuration of reasoning queries, "
        "such as gpt4_reason. The reranker is shown the original query in any case.",
        "qrels": "Other judgements than the published ones: a file, a path with {split} in it, or a folder.",
    },
)
