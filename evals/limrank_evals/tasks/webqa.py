"""WebQA (arXiv 2109.00590): see `limrank_evals.loaders.webqa`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limrank_evals.loaders.webqa import WEBQA_MEASURES, WEBQA_SPLITS, load_webqa
from limrank_evals.splits import Average, Split
from limrank_evals.tasks.task import Task


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    modality: str = "all",
    images: bool = True,
) -> Split:
    """One split; raises as `load_webqa` does."""
    benchmark = load_webqa(source, split, modality=modality, images=images, strict=strict)
    groups = tuple(
        Average(f"questions answered by {name}", f"{split}, by {name}", name)
        for name, queries in benchmark.groups.items()
        if queries and modality == "all"
    )
    return Split(
        benchmark,
        WEBQA_MEASURES,
        lists="the question's own facts",
        averages=(Average(), *groups),
    )


def find(source: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The validation split: rerankers are trained on the other."""
    return ("val",)


TASK = Task(
    name="webqa",
    title="WebQA (arXiv 2109.00590): questions answered by snippets or captioned pictures.",
    about=(
        "FOLDER holds WebQA_train_val.json, imgs.tsv and imgs.lineidx. Every question's own facts are "
        "ranked. Default: val; the test split's answers were never published."
    ),
    load=load,
    splits=tuple(sorted(WEBQA_SPLITS, reverse=True)),
    find=find,
)
