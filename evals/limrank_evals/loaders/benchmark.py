"""What every loader gives: a split's queries, documents, judgements, exclusions and lists of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limrank_evals.judgements import Qrels
from limrank_plugins.data import Document, Query, check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of, verb_for


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One split of a benchmark.

    Attributes:
        name: of the benchmark.
        split: its name.
        queries: to be answered.
        documents: to be searched.
        qrels: judgements by query and document.
        excluded: documents that must not count, by query.
        groups: names for some of the queries, to be averaged apart (`specific`, `broad`).
        licence: as its source names it.
        variant: which judgements, part of a result's identity.
        candidates: for every query the ids of the documents to rank; empty where none were given, and all
            documents are to be searched.
        are_ranked: the lists of candidates are a first stage's rankings, best first. Otherwise they are only
            what may be found: search in them, and take nothing from their order.
        areas: by query and document, the share of what answers the question that the document holds
            (MMDocIR's layouts); empty for all other benchmarks.
        changed: the documents p-MRR looks at, by query without its ending (FollowIR); None where the
            benchmark does not name them.
        warnings: what did not stop the loading and must be known, a sentence each.
        by_model: the judgements are a model's; copies of them are marked as such, too.

    Raises:
        InputError: no queries or documents, an id twice, no judged query, or a list of candidates of a query
            or with a document that is not there.
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
    candidates: Mapping[str, list[str]] = field(default_factory=dict)
    are_ranked: bool = True
    areas: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    changed: Mapping[str, list[str]] | None = None
    warnings: tuple[str, ...] = ()
    by_model: bool = False

    def __post_init__(self) -> None:
        place = f"{self.name} {self.split}".strip()
        if not self.queries or not self.documents:
            raise InputError(
                f"{place} has {number_of(len(self.queries), 'query')} and "
                f"{number_of(len(self.documents), 'document')}"
            )
        check_unique([query.id for query in self.queries], f"query id of {place}")
        check_unique([document.id or "" for document in self.documents], f"document id of {place}")
        if not any(query.id in self.qrels for query in self.queries):
            raise InputError(f"none of the queries of {place} is judged: the ids do not belong together")
        if self.candidates:
            self._check_candidates(place)

    def _check_candidates(self, place: str) -> None:
        query_ids, document_ids = {q.id for q in self.queries}, {d.id for d in self.documents}
        if unknown := sorted(set(self.candidates) - query_ids):
            raise InputError(f"{place}: {unknown[0]!r} has a list of candidates, but is no query")
        for query, candidates in self.candidates.items():
            missing = [document for document in candidates if document not in document_ids]
            if missing:
                raise InputError(
                    f"{place}: {number_of(len(missing), 'document')} listed for query {query!r} "
                    f"{verb_for(len(missing), 'are')} not in the corpus, "
                    f"for example {missing[0]!r}: lists and corpus do not belong together"
                )

    def checked(self) -> tuple[str, ...]:
        """All warnings, with those about judgements that fit nothing: they stay in every denominator."""
        document_ids, query_ids = {d.id for d in self.documents}, {query.id for query in self.queries}
        relevant = [d for grades in self.qrels.values() for d, grade in grades.items() if grade > 0]
        missing = [document for document in relevant if document not in document_ids]
        warnings = list(self.warnings)
        if missing:
            warnings.append(
                f"{number_of(len(missing), 'relevant document')} {verb_for(len(missing), 'are')} not in "
                f"the corpus, for example {missing[0]!r}"
            )
        unknown = sorted(set(self.qrels) - query_ids)
        if unknown:
            warnings.append(
                f"{number_of(len(unknown), 'judged query')} {verb_for(len(unknown), 'are')} not among "
                f"the queries, e.g. {unknown[0]!r}"
            )
        unjudged = sorted(query_ids - set(self.qrels))
        if unjudged:
            warnings.append(
                f"{number_of(len(unjudged), 'query')} {verb_for(len(unjudged), 'have')} no judgements, "
                f"for example {unjudged[0]!r}"
            )
        return tuple(warnings)


def check_count(what: str, count: int, published: int, *, strict: bool) -> list[str]:
    """Nothing, or a warning that a count is not the published one.

    Raises:
        InputError: it is not, and `strict`.
    """
    if count == published:
        return []
    difference = f"{what}: {count:,}, but {published:,} were published"
    if strict:
        raise InputError(
            f"{difference}; get the whole set, or say strict=False (--not-strict) to measure another one"
        )
    return [difference]
