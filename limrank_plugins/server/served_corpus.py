"""A corpus that clients may search, and queries to try it with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limrank_plugins import samples
from limrank_plugins.corpus_index import open_index
from limrank_plugins.retrievers import Retriever


@dataclass(frozen=True, slots=True)
class ExampleQuery:
    """A query to try.

    Attributes:
        text: of the query.
        grades: what people said of documents, by id: above 0 is relevant.
    """

    text: str
    grades: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServedCorpus:
    """A corpus behind a name.

    Attributes:
        retriever: its first stage; stays the caller's.
        examples: queries to try.
    """

    retriever: Retriever
    examples: tuple[ExampleQuery, ...] = ()


def sample_corpus(retriever: str = "bm25s") -> ServedCorpus:
    """The collection that comes with the package, with its queries; `retriever` is the first stage's name."""
    return ServedCorpus(open_index("samples", retriever), sample_queries())


def sample_queries() -> tuple[ExampleQuery, ...]:
    """The queries of the collection that comes with the package."""
    grades = samples.qrels()
    return tuple(ExampleQuery(query.text, grades.get(query.id, {})) for query in samples.queries())
