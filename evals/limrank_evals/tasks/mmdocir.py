"""MMDocIR (arXiv 2501.08828): see `limrank_evals.loaders.mmdocir`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from limrank_evals.loaders.mmdocir import (
    HUB,
    MMDOCIR_LAYOUT_CUTS,
    MMDOCIR_PAGE_MEASURES,
    layout_recall,
    load_mmdocir,
)
from limrank_evals.splits import Average, Split
from limrank_evals.tasks.task import Task

LEVELS = ("page", "layout")


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    text: str = "ocr_text",
    images: bool = True,
    domain: str = "",
) -> Split:
    """Pages or layouts; raises as `load_mmdocir` does."""
    benchmark = load_mmdocir(split, source, text=text, images=images, domain=domain, strict=strict)
    own = (
        {}
        if split == "page"
        else {f"area@{k}": partial(_covered, benchmark.areas, k) for k in MMDOCIR_LAYOUT_CUTS}
    )
    domains = tuple(benchmark.groups)
    macro = (Average("macro: over domains", over=domains),) if len(domains) > 1 else ()
    return Split(
        benchmark,
        MMDOCIR_PAGE_MEASURES if split == "page" else (*own, "R@10"),
        lists="the document's own pages" if split == "page" else "the document's own layouts",
        own=own,
        averages=(Average("micro: over questions"), *macro),
    )


def _covered(areas: Mapping[str, Mapping[str, float]], k: int, query: str, ranked: Sequence[str]) -> float:
    return layout_recall(ranked, areas.get(query, {}), k)


TASK = Task(
    name="mmdocir",
    title="MMDocIR (arXiv 2501.08828): which pages, and which layouts on them, answer a question.",
    about=(
        "Only the question's own document is searched. Its recall of layouts is the share of the labelled "
        "area that the first k cover: area@1, area@5, area@10. Averaged over questions (micro) and over the "
        "domains' means (macro). For recipes that read text alone: --no-images."
    ),
    load=load,
    splits=LEVELS,
    source=HUB,
)
