"""What a set of rows looks like in numbers, counted as the rows go by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from limrank_synth.records import LabelledPassage, Source

LENGTHS = ("query", "passage", "trace")


@dataclass
class Statistics:
    """Counts of the rows that were added.

    Attributes:
        rows, relevant, false_claims: how many.
        intents, kinds, difficulties, domains: rows by each; empty where a row does not say (Rank1's).
        lengths: of queries, passages and traces, how many have so many words.
        sources: how many rows each is in.
        labels: by part of the set and label.
    """

    rows: int = 0
    relevant: int = 0
    false_claims: int = 0
    intents: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    difficulties: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in LENGTHS})
    sources: Counter[Source] = field(default_factory=Counter)
    labels: Counter[tuple[str, bool]] = field(default_factory=Counter)
    _queries: set[bytes] = field(default_factory=set)

    def add(self, row: LabelledPassage, part: str | None = None) -> None:
        """Count a row; its part follows from the row where none is given."""
        self.rows += 1
        self.relevant += row.relevant
        self.false_claims += row.false_claim
        self.intents[row.intent] += 1
        self.kinds[row.kind] += 1
        self.difficulties[row.difficulty] += 1
        self.domains[row.domain] += 1
        for name in LENGTHS:
            self.lengths[name][len(getattr(row, name).split())] += 1
        self.sources.update(dict.fromkeys(row.sources, 1))
        named = part if part is not None else "synthetic" if row.kind else "Rank1-style"
        self.labels[named, row.relevant] += 1
        self._queries.add(hashlib.sha256(row.query_id.encode("utf-8", "surrogatepass")).digest()[:8])

    @property
    def queries(self) -> int:
        """How many different ones."""
        return len(self._queries)


def quantile(lengths: Mapping[int, int], share: float) -> int:
    """The least length that this share of all is not longer than; 0 for none."""
    total, seen = sum(lengths.values()), 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= share * total:
            return length
    return 0
