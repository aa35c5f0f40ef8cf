"""R2MED (arXiv 2505.14558): see `limrank_evals.loaders.r2med`."""

from __future__ import annotations

from limrank_evals.loaders.r2med import R2MED_MEASURES, R2MED_TASKS, load_r2med
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task

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
