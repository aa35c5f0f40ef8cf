"""Hard negatives that are none: BM25 alone would never have shown them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document
from limrank_plugins.retrievers import build_retriever
from limrank_synth.filters import FilterResult
from limrank_synth.records import LabelledPassage, Rejection


@dataclass(frozen=True, slots=True)
class Hardness:
    """Keeps a hard negative that BM25 finds for its query among all passages of the set.

    What a first stage does not find never reaches a reranker: such a negative is too easy. One that is
    judged relevant is too good, which `agreement` sees. Rows of positives stay untouched, and in a set
    of no more than `depth` passages only those fail that share no term with their query.

    Attributes:
        depth: how many of BM25's best are looked at. Passages of the same text count once.
        name: of its rejections.
    """

    depth: int = 100
    name: str = "hardness"

    def __post_init__(self) -> None:
        whole_number("depth", self.depth, least=1)

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows."""
        if all(row.relevant for row in rows):
            return FilterResult(list(rows), [])
        places: dict[str, str] = {}
        for row in rows:
            places.setdefault(row.passage, str(len(places)))
        bm25 = build_retriever("bm25s", (Document(text=text, id=place) for text, place in places.items()))
        retrieved: dict[str, set[str]] = {}
        kept, rejected = list[LabelledPassage](), list[Rejection]()
        for row in rows:
            if row.relevant:
                kept.append(row)
                continue
            if row.query not in retrieved:
                retrieved[row.query] = {str(document.id) for document in bm25.search(row.query, self.depth)}
            if places[row.passage] in retrieved[row.query]:
                kept.append(row)
            else:
                reason = f"too easy: not among BM25's first {self.depth} of {len(places)} passages"
                rejected.append(Rejection(self.name, row.id, reason, row.passage))
        return FilterResult(kept, rejected)
