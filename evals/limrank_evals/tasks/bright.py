"""BRIGHT (arXiv 2407.12883): see `limrank_evals.loaders.bright`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from limrank_evals.loaders.bright import BRIGHT_TASKS, HUB, SHORT_ONLY, bright_queries, load_bright
from limrank_evals.split_files import split_file
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import instructions

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
)
