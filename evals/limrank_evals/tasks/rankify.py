"""Rankify's pre-retrieved lists (arXiv 2502.02464): see `limrank_evals.loaders.rankify`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limrank_evals.loaders.rankify import HUB, RANKIFY_MEASURES, load_rankify
from limrank_evals.splits import GIVEN, Split
from limrank_evals.tasks.task import Task

_ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    retriever: str = "bm25",
    passages: Path | None = None,
) -> Split:
    """One file; raises as `load_rankify` does. There are no published counts that `strict` could mean."""
    dataset = "" if Path(source).is_file() else split
    benchmark = load_rankify(source, dataset, retriever=retriever, passages=passages)
    return Split(
        benchmark,
        RANKIFY_MEASURES,
        lists=f"Rankify's lists of {retriever}" if dataset else "lists in Rankify's layout",
        first_stage=GIVEN,
    )


def find(source: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The files there are; the hub's must be named."""
    place = Path(source)
    files = [place] if place.is_file() else sorted((place / str(options.get("retriever", ""))).glob("*"))
    names = [
        file.name.removesuffix(ending) for file in files for ending in _ENDINGS if file.name.endswith(ending)
    ]
    return tuple(dict.fromkeys(names))


TASK = Task(
    name="rankify",
    title="Rankify's pre-retrieved lists (arXiv 2502.02464): questions and passages that may answer them.",
    about=(
        "A source is a file in its layout, a folder, or a repository that holds <retriever>/<split>.json: "
        "-t nq-test. A passage is relevant that holds an answer's string; top-k accuracy is Success@k."
    ),
    load=load,
    find=find,
    source=HUB,
    first_stage=GIVEN,
)
