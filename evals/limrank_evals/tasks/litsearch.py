"""LitSearch (arXiv 2407.18940): 597 questions for papers, answered by titles and abstracts.

The hub's `princeton-nlp/LitSearch` has the configurations `query` (`query`, `specificity`, `corpusids`) and
`corpus_clean` (`corpusid`, `title`, `abstract`), split `full`. Two ways to average: the benchmark's own
reports recall@5 over specific questions and recall@20 over broad ones; mteb averages all together. `groups`
holds both, and which was used is part of a result's identity. (mteb also grades relevant papers by their
place in the list, which recall does not notice; here every one has grade 1.)
"""

from __future__ import annotations

import os

from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.dataset_rows import dataset_rows, field, identifier
from limrank_evals.splits import Average, Split
from limrank_evals.tasks.task import Task
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError

HUB = "princeton-nlp/LitSearch"
QUERIES, PAPERS = 597, 64_183


def load_litsearch(source: str | os.PathLike[str] = HUB, *, strict: bool = True) -> Benchmark:
    """Load it; arguments and errors as for `load_bright`. Queries are `q1`, `q2`, … as mteb numbers them."""
    where, qrels, groups = "LitSearch", {}, {"specific": set[str](), "broad": set[str]()}
    queries = []
    for number, row in enumerate(dataset_rows(source, "query", "full"), start=1):
        name = f"q{number}"
        queries.append(Query(field(row, "query", where), name))
        qrels[name] = {str(paper): 1 for paper in field(row, "corpusids", where, list)}
        groups["specific" if field(row, "specificity", where, int) else "broad"].add(name)
    documents = tuple(
        Document(
            field(row, "abstract", where),
            identifier(row, where, "corpusid"),
            field(row, "title", where),
        )
        for row in dataset_rows(source, "corpus_clean", "full")
    )
    warnings = check_count("LitSearch, queries", len(queries), QUERIES, strict=strict)
    warnings += check_count("LitSearch, papers", len(documents), PAPERS, strict=strict)
    return Benchmark(
        where,
        "all",
        tuple(queries),
        documents,
        qrels,
        groups={name: frozenset(members) for name, members in groups.items()},
        licence="see https://huggingface.co/datasets/" + HUB,
        variant="published",
        warnings=tuple(warnings),
    )


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
    helps={
        "averaging": "published (specific questions R@5, broad ones R@20), mteb (all together) or both.",
    },
)
