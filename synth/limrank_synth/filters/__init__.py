"""What keeps a bad row out of the set: one defect per file, each filter a small dataclass with its limits.

A filter is called with all rows and says which stay; every one that goes has its reason. Filters know
nothing of each other. They are applied in the order of `applied`, cheap and certain ones first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from limrank_synth.records import Rejection, Row


class Sifted(NamedTuple):
    """The rows that stay, in their order, and why the others went."""

    kept: list[Row]
    rejected: list[Rejection]


class Filter(Protocol):
    """One reason to throw a row away."""

    @property
    def name(self) -> str:
        """What its rejections name as their stage."""

    def __call__(self, rows: Sequence[Row]) -> Sifted:
        """Sift the rows; a pure function of them."""


def applied(rows: Sequence[Row], filters: Sequence[Filter]) -> tuple[Sifted, dict[str, tuple[int, int]]]:
    """Each filter on what the one before it kept; and by filter, how many rows went in and came out."""
    kept, rejected = list(rows), list[Rejection]()
    counts: dict[str, tuple[int, int]] = {}
    for one in filters:
        sifted = one(kept)
        counts[one.name] = len(kept), len(sifted.kept)
        kept = sifted.kept
        rejected += sifted.rejected
    return Sifted(kept, rejected), counts
