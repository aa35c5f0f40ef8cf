"""What keeps a bad row out of the set: one defect per file, each filter a small dataclass with its limits.

A filter is called with all rows and says which stay; every one that goes has its reason. Filters know
nothing of each other. They are applied in the order of `apply_filters`, cheap and certain ones first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from limrank_synth.records import LabelledPassage, Rejection

_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*%?")


class FilterResult(NamedTuple):
    """The rows that stay, in their order, and why the others went."""

    kept: list[LabelledPassage]
    rejected: list[Rejection]


class Filter(Protocol):
    """One reason to throw a row away."""

    @property
    def name(self) -> str:
        """What its rejections name as their stage."""

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows; a pure function of them."""


def filter_rows(
    name: str, rows: Sequence[LabelledPassage], problem: Callable[[LabelledPassage], str | None]
) -> FilterResult:
    """Sift rows of which each stands for itself.

    Args:
        name: of the rejections.
        rows: what is result.
        problem: why a row has to go, or None.
    """
    kept, rejected = list[LabelledPassage](), list[Rejection]()
    for row in rows:
        reason = problem(row)
        if reason is None:
            kept.append(row)
        else:
            rejected.append(Rejection(name, row.id, reason, row.passage))
    return FilterResult(kept, rejected)


def reasons(rejections: Sequence[Rejection]) -> dict[str, dict[str, int]]:
    """How often what was given as a reason, by stage; numbers and names in a reason are left out."""
    totals: dict[str, Counter[str]] = {}
    for rejection in rejections:
        kind = _PARTICULARS.sub("…", rejection.reason)
        totals.setdefault(rejection.stage, Counter())[kind] += 1
    return {stage: dict(totals[stage].most_common()) for stage in sorted(totals)}


def apply_filters(
    rows: Sequence[LabelledPassage], filters: Sequence[Filter]
) -> tuple[FilterResult, dict[str, tuple[int, int]]]:
    """Each filter on what the one before it kept; and by filter, how many rows went in and came out."""
    kept, rejected = list(rows), list[Rejection]()
    counts: dict[str, tuple[int, int]] = {}
    for filter_ in filters:
        result = filter_(kept)
        counts[filter_.name] = len(kept), len(result.kept)
        kept = result.kept
        rejected += result.rejected
    return FilterResult(kept, rejected), counts
