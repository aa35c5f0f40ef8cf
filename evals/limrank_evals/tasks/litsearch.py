"""LitSearch (arXiv 2407.18940): see `limrank_evals.loaders.litsearch`."""

from __future__ import annotations

from limrank_evals.loaders.litsearch import HUB, load_litsearch
from limrank_evals.splits import Average, Split
from limrank_evals.tasks.task import Task
from limrank_plugins.errors import InputError

MEASURES = ("R@5", "R@20", "nDCG@10")
_OWN = (
    Average("LitSearch: specific questions", "specific", "specific", ("R@5",)),
    Average("LitSearch: broad questions", "broad", "broad", ("R@20",)),
)
_MTEB = (Average("mteb: all questions"),)
_AVERAGES = {"published": _OWN, "mteb": _MTEB, "both": _OWN + _MTEB}


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    averaging: str = "both",
) -> Split:
    """The one split there is; raises as `load_litsearch` does."""
    if averaging not in _AVERAGES:
        raise InputError(f"averaging must be one of {', '.join(_AVERAGES)}, but is {averaging!r}")
    return Split(load_litsearch(source, strict=strict), MEASURES, averages=_AVERAGES[averaging])


TASK = Task(
    name="litsearch",
    title="LitSearch (arXiv 2407.18940): 597 questions for papers, answered by titles and abstracts.",
    about=(
        "Its authors report R@5 over specific questions and R@20 over broad ones; mteb averages all. With "
        "--k 10 (the script that came with LimRank) R@20 is R@10."
    ),
    load=load,
    splits=("all",),
    source=HUB,
)
