"""Queries and documents that did not fit, so that a model read a part of them: counted and told one way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from limrank_plugins.data import Ranking
from limrank_plugins.wording import number_of


@dataclass(frozen=True, slots=True)
class Unread:
    """How many queries and documents were cut, of how many.

    Attributes:
        queries: of which the end was not read.
        documents: likewise; one that was ranked for two queries counts twice.
        of_queries: how many queries there were.
        of_documents: how many documents there were.
    """

    queries: int = 0
    documents: int = 0
    of_queries: int = 0
    of_documents: int = 0

    @classmethod
    def in_records(cls, records: Iterable[Mapping[str, Any]]) -> Unread:
        """Of rankings as `limrank_plugins.io.ranking_record` writes them; earlier versions counted less."""
        queries = documents = of_queries = of_documents = 0
        for record in records:
            of_queries += 1
            queries += record.get("query_cut_tokens", 0) > 0
            of_documents += len(record["hits"])
            documents += sum(hit.get("cut_tokens", 0) > 0 for hit in record["hits"])
        return cls(queries, documents, of_queries, of_documents)

    @classmethod
    def in_ranking(cls, ranking: Ranking) -> Unread:
        """Of one ranking's query and its hits."""
        cut = sum(hit.cut_tokens > 0 for hit in ranking)
        return cls(int(ranking.query_cut_tokens > 0), cut, 1, len(ranking))

    def __add__(self, other: Unread) -> Unread:
        return Unread(
            self.queries + other.queries,
            self.documents + other.documents,
            self.of_queries + other.of_queries,
            self.of_documents + other.of_documents,
        )

    def as_json(self) -> dict[str, int]:
        """For machines, beside what was ranked."""
        return {"cut_queries": self.queries, "cut_documents": self.documents}

    def sentences(self, *, chunks: bool = False) -> list[str]:
        """For people: nothing where all was read.

        Args:
            chunks: name the option with which long documents are read, where they can be.
        """
        parts = ((self.queries, self.of_queries, "query"), (self.documents, self.of_documents, "document"))
        said = [
            f"{cut:,} of {number_of(of, noun)} {'was' if cut == 1 else 'were'} longer than the model reads"
            for cut, of, noun in parts
            if cut
        ]
        if chunks and self.documents:
            said[-1] += " (--chunks max judges such by their best piece)"
        return said
