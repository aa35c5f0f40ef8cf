"""BEIR (arXiv 2104.08663): see `limrank_evals.loaders.beir`."""

from __future__ import annotations

from limrank_evals.loaders.beir import BEIR_SETS, load_beir
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task
from limrank_plugins.prompts import instructions

HUB = "mteb/<set>"
MEASURES = ("nDCG@10", "R@100", "RR@10")


def load(split: str, source: str, *, strict: bool = True) -> Split:
    """One set; raises as `load_beir` does."""
    name = f"beir/{split}"
    return Split(
        load_beir(split, None if source == HUB else source, strict=strict),
        MEASURES,
        instruction=name if name in instructions() else "",
        prompts="beir, in this package's words",
    )


TASK = Task(
    name="beir",
    title="BEIR (arXiv 2104.08663): its 14 sets that anyone may download.",
    about=(
        "A folder is BEIR's own, unpacked: one set, or a folder of them. ArguAna's and Quora's queries "
        "are documents, too: they do not count as found for themselves. Name the sets (-t scifact -t "
        "nfcorpus …): hotpotqa, fever, climate-fever, dbpedia-entity, nq and msmarco hold "
        "millions of documents."
    ),
    load=load,
    splits=tuple(BEIR_SETS),
    source=HUB,
)
