"""TREC Deep Learning, passages: see `limrank_evals.loaders.trec_dl`."""

from __future__ import annotations

from limrank_evals.loaders.trec_dl import TREC_DL, TREC_DL_MEASURES, load_trec_dl
from limrank_evals.retriever_specs import names_retriever
from limrank_evals.split_files import run_file
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task


def load(split: str, source: str, *, strict: bool = True, first_stage: str = "") -> Split:
    """One year; of a first stage that is a run, only its passages and the judged ones are read."""
    run = None if not first_stage or names_retriever(first_stage) else run_file(first_stage, split).path
    return Split(load_trec_dl(split, source, run=run, strict=strict), TREC_DL_MEASURES)


TASK = Task(
    name="trec-dl",
    title="TREC Deep Learning 2019 to 2022, passages: MS MARCO's queries, judged in depth.",
    about=(
        "FOLDER holds the collection, topics and judgements under their own names. Give a run as "
        "--first-stage: only its passages are kept in memory then (searching means 8.8 million in dl19 and "
        "dl20, 138 million in dl21 and dl22). A grade of 1 is not relevant where a measure is binary: rel=2."
    ),
    load=load,
    splits=tuple(TREC_DL),
)
