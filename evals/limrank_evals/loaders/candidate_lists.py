"""A benchmark that comes with lists: what each query's documents are to be chosen from."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from limrank_evals.judgements import Qrels
from limrank_evals.loaders.benchmark import Benchmark
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_run


@dataclass(frozen=True, slots=True)
class Listed:
    """A task and its lists.

    Attributes:
        benchmark: queries, documents, judgements.
        candidates: for every query the ids of the documents to rank; empty where none were given, and
            all documents are to be searched.
        ordered: the lists are a first stage's rankings, best first. Otherwise they are only what may be
            found: search in them, and take nothing from their order.
        areas: by query and document, the share of what answers the question that the document holds
            (MMDocIR's layouts); empty for all other benchmarks.

    Raises:
        InputError: a list of a query or with a document that the benchmark does not have.
    """

    benchmark: Benchmark
    candidates: Mapping[str, list[str]]
    ordered: bool = True
    areas: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.candidates:
            return
        where = f"{self.benchmark.name} {self.benchmark.split}".strip()
        asked = {query.id for query in self.benchmark.queries}
        if strangers := sorted(set(self.candidates) - asked):
            raise InputError(f"{where}: {strangers[0]!r} has a list of candidates, but is no query")
        known = {document.id for document in self.benchmark.documents}
        for query, listed in self.candidates.items():
            missing = [document for document in listed if document not in known]
            if missing:
                raise InputError(
                    f"{where}: {len(missing)} documents listed for query {query!r} are not in the corpus, "
                    f"for example {missing[0]!r}: lists and corpus do not belong together"
                )


def run_lists(run: str | os.PathLike[str], queries: Collection[str]) -> dict[str, list[str]]:
    """The lists of a first stage's run, those of other queries left out.

    Raises:
        InputError: a line that is none, or no list for any of the queries.
    """
    lists = {
        query: [candidate.document_id for candidate in found]
        for query, found in read_run(run).items()
        if query in queries
    }
    if not lists:
        raise InputError(
            f"{os.fspath(run)} has no list for any of the {len(queries)} queries: it is of another set"
        )
    return lists


def listed_or_judged(lists: Mapping[str, Collection[str]], qrels: Qrels) -> set[str]:
    """The documents that are in a list or judged: all that reranking and measuring need."""
    return {d for found in (*lists.values(), *qrels.values()) for d in found}
