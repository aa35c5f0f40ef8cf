"""What keeps a bad row out of the set: one defect per file, each filter a small dataclass with its limits.

A filter is called with all rows and says which stay; every one that goes has its reason. Filters know
nothing of each other. They are applied in the order of `applied`, cheap and certain ones first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from limrank_synth.records import Rejection, Row

_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*%?")


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


def sifted(name: str, rows: Sequence[Row], problem: Callable[[Row], str | None]) -> Sifted:
    """Sift rows of which each stands for itself.

    Args:
        name: of the rejections.
        rows: what is sifted.
        problem: why a row has to go, or None.
    """
    kept, rejected = list[Row](), list[Rejection]()
    for row in rows:
        reason = problem(row)
        if reason is None:
            kept.append(row)
        else:
            rejected.append(Rejection(name, row.id, reason, row.passage))
    return Sifted(kept, rejected)


def reasons(rejections: Sequence[Rejection]) -> dict[str, dict[str, int]]:
    """How often what was given as a reason, by stage; numbers and names in a reason are left out."""
    totals: dict[str, Counter[str]] = {}
    for rejection in rejections:
        kind = _PARTICULARS.sub("…", rejection.reason)
        totals.setdefault(rejection.stage, Counter())[kind] += 1
    return {stage: dict(totals[stage].most_common()) for stage in sorted(totals)}


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
