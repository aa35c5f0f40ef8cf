"""FollowIR (arXiv 2403.15246): every query under an instruction (`-og`) and under a changed one (`-changed`).

The hub's `mteb/<task>InstructionRetrieval` has the configurations `corpus` and `queries` (`_id`, `text`, and
`title`), `instruction` (`query-id`, `instruction`), `default` (`query-id`, `corpus-id`, `score`),
`top_ranked` (`query-id`, `corpus-ids`: the documents to be reranked) and `qrel_diff` (`query-id`,
`corpus-ids`: those whose relevance the change takes away, by the query's id without its ending).
"""

from __future__ import annotations

import os
from pathlib import Path

from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.dataset_rows import dataset_rows, field, judged, mteb_documents, mteb_queries
from limrank_evals.splits import GIVEN, Split
from limrank_evals.tasks.task import Task
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError

# Queries, both sides counted, and documents, as mteb counts them.
FOLLOWIR_TASKS = {"Core17": (40, 19_899), "News21": (64, 30_921), "Robust04": (104, 47_492)}


def load_followir(
    task: str, source: str | os.PathLike[str] | None = None, *, strict: bool = True
) -> Benchmark:
    """Load one task, with its candidates; arguments and errors as for `load_bright`."""
    if task not in FOLLOWIR_TASKS:
        raise InputError(f"FollowIR has no task {task!r}; it has {', '.join(FOLLOWIR_TASKS)}")
    source, where = source or f"mteb/{task}InstructionRetrieval", f"FollowIR {task}"
    instructions = {
        field(row, "query-id", where): field(row, "instruction", where)
        for row in dataset_rows(source, "instruction", "test")
    }
    texts = mteb_queries(source, "test", where)
    without = [name for name in texts if not instructions.get(name)]
    if without:
        raise InputError(f"{where}: query {without[0]!r} has no instruction")
    queries = tuple(Query(text, name, instructions[name]) for name, text in texts.items())
    documents = mteb_documents(source, "test", where)
    qrels = judged((where, row) for row in dataset_rows(source, "default", "test"))
    counts = FOLLOWIR_TASKS[task]
    warnings = check_count(f"{where}, queries", len(queries), counts[0], strict=strict)
    warnings += check_count(f"{where}, documents", len(documents), counts[1], strict=strict)
    candidates, changed = (
        {
            field(row, "query-id", where): field(row, "corpus-ids", where, list)
            for row in dataset_rows(source, config, split)
        }
        for config, split in (("top_ranked", "test"), ("qrel_diff", "qrel_diff"))
    )
    return Benchmark(
        "FollowIR",
        task,
        queries,
        documents,
        qrels,
        licence="MIT",
        variant="mteb",
        candidates=candidates,
        changed=changed,
        warnings=tuple(warnings),
    )


DEPTH = 1000
_MEASURES = {"Core17": "MAP@1000", "News21": "nDCG@5", "Robust04": "MAP@1000"}


def load(split: str, source: str, *, strict: bool = True) -> Split:
    """One task; raises as `load_followir` does. A folder holds the task's files, or one folder for each."""
    place = Path(source) / split
    benchmark = load_followir(
        split, (place if place.is_dir() else source) if source != HUB else None, strict=strict
    )
    return Split(
        benchmark,
        ("p-MRR", _MEASURES[split]),
        queries="original, without instructions",
        first_stage=GIVEN,
        depth=DEPTH,
        carried="FollowIR's, one for each query",
    )


HUB = "mteb/<split>InstructionRetrieval"
TASK = Task(
    name="followir",
    title="FollowIR (arXiv 2403.15246): does a ranking follow a changed instruction?",
    about=(
        "Every query is asked under two instructions, which the reranker is shown behind the query; the "
        "1,000 candidates of each are given. p-MRR, and MAP@1000 (Robust04, Core17) or nDCG@5 (News21). "
        "p-MRR shrinks with the depth: the script that came with LimRank reranks the first 10 (--k 10)."
    ),
    load=load,
    splits=tuple(FOLLOWIR_TASKS),
    source=HUB,
    first_stage=GIVEN,
    depth=DEPTH,
)
