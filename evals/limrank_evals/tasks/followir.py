"""FollowIR (arXiv 2403.15246): see `limrank_evals.loaders.followir` and `limrank_evals.pmrr`."""

from __future__ import annotations

from pathlib import Path

from limrank_evals.loaders.followir import FOLLOWIR_TASKS, load_followir
from limrank_evals.splits import GIVEN, Split
from limrank_evals.tasks.task import Task

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
