"""What every loader gives: queries, documents, judgements, exclusions, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limrank_evals.judgements import Qrels
from limrank_plugins.data import Document, Query, check_unique
from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One task of a benchmark.

    Attributes:
        name: of the benchmark.
        split: of the task.
        queries: to be answered.
        documents: to be searched.
        qrels: judgements by query and document.
        excluded: documents that must not count, by query.
        groups: names for some of the queries, to be averaged apart (`specific`, `broad`).
        licence: as its source names it.
        variant: which judgements, part of a result's identity.
        warnings: what was found and did not stop the loading, a sentence each.
    """

    name: str
    split: str
    queries: tuple[Query, ...]
    documents: tuple[Document, ...]
    qrels: Qrels
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    licence: str = ""
    variant: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        place = f"{self.name} {self.split}".strip()
        if not self.queries or not self.documents:
            raise InputError(f"{place} has {len(self.queries)} queries and {len(self.documents)} documents")
        check_unique([query.id for query in self.queries], f"query id of {place}")
        check_unique([document.id or "" for document in self.documents], f"document id of {place}")
        if not any(query.id in self.qrels for query in self.queries):
            raise InputError(f"none of the queries of {place} is judged: the ids do not belong together")

    def checked(self) -> tuple[str, ...]:
        """All warnings, with those about judgements that fit nothing: they stay in every denominator."""
        known, asked = {document.id for document in self.documents}, {query.id for query in self.queries}
        judged = [(q, d) for q, grades in self.qrels.items() for d, grade in grades.items() if grade > 0]
        missing = [d for _, d in judged if d not in known]
        told = list(self.warnings)
        if missing:
            told.append(
                f"{len(missing)} relevant documents are not in the corpus, for example {missing[0]!r}"
            )
        strangers = sorted(set(self.qrels) - asked)
        if strangers:
            told.append(f"{len(strangers)} judged queries are not among the queries, e.g. {strangers[0]!r}")
        unjudged = sorted(asked - set(self.qrels))
        if unjudged:
            told.append(f"{len(unjudged)} queries have no judgements, for example {unjudged[0]!r}")
        return tuple(told)


def check_count(what: str, found: int, published: int, *, strict: bool) -> list[str]:
    """Nothing, or a warning that a count is not the published one.

    Raises:
        InputError: it is not, and `strict`.
    """
    if found == published:
        return []
    told = f"{what}: {found:,}, but {published:,} were published"
    if strict:
        raise InputError(
            f"{told}; get the whole set, or say strict=False (--not-strict) to measure another one"
        )
    return [told]
