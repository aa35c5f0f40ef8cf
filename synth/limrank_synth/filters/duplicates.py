"""Passages and queries that the set holds already, letter by letter or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limrank_synth.filters import FilterResult
from limrank_synth.filters.minhash import NearDuplicates, check_nearness
from limrank_synth.filters.words import words
from limrank_synth.records import LabelledPassage, Rejection


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Keeps the first of several rows that are the same, in the order in which the rows are given.

    A row goes where its passage is that of a row before it, or where its query is that of another query
    before it (all rows of one query stay together). The same means: equal after normalisation (case,
    punctuation, white space, Unicode forms), or near-duplicates by the Jaccard index of word runs. A row
    that was rejected takes no other with it.

    Attributes:
        passage: the least Jaccard index of passages that are near-duplicates, in [0.5, 1].
        query: the same for queries.
        run: words of a run.
        name: of its rejections.
    """

    passage: float = 0.8
    query: float = 0.8
    run: int = 3
    name: str = "duplicates"

    def __post_init__(self) -> None:
        check_nearness(self.passage, self.run)
        check_nearness(self.query, self.run)

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows.

        Raises:
            MissingExtra: datasketch is not installed.
        """
        passages = _Seen(rows, NearDuplicates(self.passage, self.run), "passage")
        queries = _Seen(rows, NearDuplicates(self.query, self.run), "query")
        # Queries that repeat another one, with the reason; and those of which a row has stayed.
        known: dict[str, str] = {}
        staying: set[str] = set()
        kept, rejected = list[LabelledPassage](), list[Rejection]()
        for number, row in enumerate(rows):
            reason = known.get(row.query_id)
            if reason is None and row.query_id not in staying:
                reason = queries.problem(row.query)
                if reason is not None:
                    known[row.query_id] = reason
            if reason is None:
                reason = passages.problem(row.passage)
            if reason is not None:
                rejected.append(Rejection(self.name, row.id, reason, row.passage))
                continue
            kept.append(row)
            passages.add(number, row.passage)
            if row.query_id not in staying:
                staying.add(row.query_id)
                queries.add(number, row.query)
        return FilterResult(kept, rejected)


class _Seen:
    """The texts of one sort that stay."""

    def __init__(self, rows: Sequence[LabelledPassage], near: NearDuplicates, what: str) -> None:
        self._rows, self._near, self._what = rows, near, what
        self._exact: dict[str, int] = {}

    def problem(self, text: str) -> str | None:
        """Which row's text it repeats, or None."""
        tokens, key = _key(text)
        same = self._exact.get(key)
        if same is not None:
            return f"its {self._what} is that of {self._rows[same].id!r}"
        nearly = self._near.find(tokens)
        return None if nearly is None else f"its {self._what} is nearly that of {self._rows[nearly].id!r}"

    def add(self, number: int, text: str) -> None:
        """The text of the row with this number stays."""
        tokens, key = _key(text)
        self._exact[key] = number
        self._near.add(number, tokens)


def _key(text: str) -> tuple[list[str], str]:
    tokens = words(text)
    # A text without words, such as a formula, is itself.
    return tokens, " ".join(tokens) or text.strip()
