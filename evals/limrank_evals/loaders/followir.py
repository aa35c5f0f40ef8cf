"""FollowIR (arXiv 2403.15246): every query under an instruction (`-og`) and under a changed one (`-changed`).

The hub's `mteb/<task>InstructionRetrieval` has the configurations `corpus` and `queries` (`_id`, `text`, and
`title`), `instruction` (`query-id`, `instruction`), `default` (`query-id`, `corpus-id`, `score`),
`top_ranked` (`query-id`, `corpus-ids`: the documents to be reranked) and `qrel_diff` (`query-id`,
`corpus-ids`: those whose relevance the change takes away, by the query's id without its ending).
"""

from __future__ import annotations

import os

from limrank_evals.judgements import Qrels, add_judgement
from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.dataset_rows import dataset_rows, field
from limrank_plugins.data import Document, Query
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
    queries = tuple(
        Query(field(row, "text", where), name, instructions.get(name, ""))
        for row in dataset_rows(source, "queries", "test")
        for name in [str(field(row, "_id" if "_id" in row else "id", where))]
    )
    without = [query.id for query in queries if not query.instruction]
    if without:
        raise InputError(f"{where}: query {without[0]!r} has no instruction")
    documents = tuple(
        Document(
            field(row, "text", where),
            str(field(row, "_id" if "_id" in row else "id", where)),
            row.get("title") or "",
        )
        for row in dataset_rows(source, "corpus", "test")
    )
    qrels: Qrels = {}
    for row in dataset_rows(source, "default", "test"):
        query, document = (str(field(row, name, where)) for name in ("query-id", "corpus-id"))
        grade = field(row, "score", where, (int, float))
        add_judgement(qrels, query, document, int(grade) if grade == int(grade) else grade, where)
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
