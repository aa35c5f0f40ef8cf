"""M-BEIR (arXiv 2311.17136): see `limrank_evals.loaders.mbeir`."""

from __future__ import annotations

from limrank_evals.loaders.mbeir import HUB, MBEIR_TASKS, load_mbeir
from limrank_evals.retriever_specs import names_retriever
from limrank_evals.split_files import run_file
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    first_stage: str = "",
    pool: str = "local",
    told: int = 0,
    images: bool = True,
) -> Split:
    """One task; of a first stage that is a run, only its documents and the judged ones are read."""
    run = None if not first_stage or names_retriever(first_stage) else run_file(first_stage, split).path
    number = None if told < 0 else told
    benchmark = load_mbeir(
        split, source, pool=pool, run=run, instruction=number, images=images, strict=strict
    )
    carried = "" if number is None else f"M-BEIR's, number {number}"
    return Split(benchmark, MBEIR_TASKS[split].measures, carried=carried)


TASK = Task(
    name="mbeir",
    title="M-BEIR (arXiv 2311.17136): 16 tasks in which queries and candidates are texts, pictures or both.",
    about=(
        "Its Recall@k is 1 where any relevant candidate is among the first k: Success@k. Retrievers of text "
        "find no pictures: give a run as --first-stage, of which only the documents are kept in memory."
    ),
    load=load,
    splits=tuple(MBEIR_TASKS),
    source=HUB,
)
