"""A benchmark that comes with lists: what each query's documents are to be chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limrank_evals.loaders.benchmark import Benchmark
from limrank_plugins.errors import InputError


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
