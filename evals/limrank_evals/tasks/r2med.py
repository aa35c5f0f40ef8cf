"""R2MED (arXiv 2505.14558): 8 tasks of medical retrieval whose relevant documents take reasoning to find.

The hub has a repository for every task, `R2MED/<task>`, with the configurations (and splits of the same
names) `corpus` and `query` (`id`, `text`) and `qrels` (`q_id`, `p_id`, `score`); so mteb's R2MED tasks read
it. The authors' own code reads `corpus.jsonl`, `query.jsonl` and `qrels.jsonl` side by side, which is read
here, too. Counts: the table in the README of github.com/R2MED/R2MED; mteb's descriptive statistics have the
same documents and query texts. Licence: as in mteb's metadata; the README's badge (MIT) is the code's.

The released BM25 weights the query as BRIGHT's does: `limrank_plugins.retrievers.bm25q`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.dataset_rows import dataset_rows, field, file_rows, identifier, judged
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError

LICENCE = "CC BY 4.0"
R2MED_MEASURES = ("nDCG@10",)

# Queries (876 in all) and documents.
R2MED_TASKS = {
    "Biology": (103, 57_359),
    "Bioinformatics": (77, 47_473),
    "Medical-Sciences": (88, 34_810),
    "MedXpertQA-Exam": (97, 61_379),
    "MedQA-Diag": (118, 56_250),
    "PMC-Treatment": (150, 28_954),
    "PMC-Clinical": (114, 60_406),
    "IIYi-Clinical": (129, 10_449),
}


def load_r2med(task: str, source: str | os.PathLike[str] | None = None, *, strict: bool = True) -> Benchmark:
    """Load one task.

    Args:
        task: one of `R2MED_TASKS`.
        source: a repository of the hub (default: `R2MED/<task>`), a folder with the task's files, or the
            folder that holds such folders by the tasks' names.
        strict: a number of queries or documents that is not the published one is an error, not a warning.

    Raises:
        InputError: an unknown task, wrong rows or counts.
        BackendError: the hub cannot be read.
    """
    if task not in R2MED_TASKS:
        raise InputError(f"R2MED has no task {task!r}; it has {', '.join(R2MED_TASKS)}")
    where = f"R2MED {task}"
    place = source or f"R2MED/{task}"
    if (Path(place) / task).is_dir():
        place = Path(place) / task
    documents, queries = (
        [(field(row, "text", at), identifier(row, at, "id")) for at, row in _rows(place, part, where)]
        for part in ("corpus", "query")
    )
    qrels = judged(_rows(place, "qrels", where), "q_id", "p_id")
    warnings = check_count(f"{where}, queries", len(queries), R2MED_TASKS[task][0], strict=strict)
    warnings += check_count(f"{where}, documents", len(documents), R2MED_TASKS[task][1], strict=strict)
    return Benchmark(
        "R2MED",
        task,
        tuple(Query(*query) for query in queries),
        tuple(Document(*document) for document in documents),
        qrels,
        licence=LICENCE,
        variant="published",
        warnings=tuple(warnings),
    )


def _rows(place: str | os.PathLike[str], part: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a part, each with what to call it in messages."""
    flat = [Path(place) / f"{part}{ending}" for ending in (".jsonl", ".jsonl.gz", ".parquet")]
    files = [file for file in flat if file.is_file()]
    rows = file_rows(files[0]) if files else dataset_rows(place, part, part)
    for number, row in enumerate(rows, start=1):
        yield f"{where}, {files[0] if files else part}, row {number}", row


HUB = "R2MED/<task>"


def load(split: str, source: str, *, strict: bool = True) -> Split:
    """One task; raises as `load_r2med` does."""
    benchmark = load_r2med(split, None if source == HUB else source, strict=strict)
    return Split(benchmark, (*R2MED_MEASURES, "R@10", "R@100"))


TASK = Task(
    name="r2med",
    title="R2MED (arXiv 2505.14558): eight medical tasks whose relevant documents take reasoning to find.",
    about="Its published BM25 is --first-stage bm25q. Tables differ in depth: say which by --k.",
    load=load,
    splits=tuple(R2MED_TASKS),
    source=HUB,
)
