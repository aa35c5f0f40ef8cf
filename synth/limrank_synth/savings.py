"""What a set's calls cost beside the GPU-hours that a small set saves. An estimate, with its numbers in view.

    hours(rows, epochs) = rows · epochs · r,      r = H / (R · E)
    saved = hours(Rank1's rows, Rank1's epochs) - hours(these rows, E)

with H GPU-hours of LIMRANK's training on R rows in E epochs. It takes rows of all sets to be equally long
and the same model and hardware for both.
"""

from __future__ import annotations

from dataclasses import dataclass

HOURS, ROWS, EPOCHS = 4.0, 20_000, 5
"""LIMRANK (arXiv 2510.23544): about 2 hours on 2 H100 (80 GB), 20K rows, 5 epochs."""

RANK1_ROWS, RANK1_EPOCHS = 386_336, 2
"""Rank1 (arXiv 2502.18418): rows after its filters, and epochs."""

RATE = HOURS / (ROWS * EPOCHS)
"""GPU-hours for one row in one epoch: 4e-5."""


@dataclass(frozen=True, slots=True)
class Savings:
    """GPU-hours (H100) of a 7B model.

    Attributes:
        rows: of this set.
        own: what training on it takes, in `EPOCHS` epochs.
        rank1: what training on Rank1's set would take at the same rate.
        cost: dollars spent on the calls behind the set, or None where no report says.
    """

    rows: int
    own: float
    rank1: float
    cost: float | None

    @property
    def saved(self) -> float:
        """GPU-hours; negative for a set that is larger than Rank1's in effect."""
        return self.rank1 - self.own

    @property
    def break_even(self) -> float | None:
        """The price of a GPU-hour in dollars above which the calls paid for themselves."""
        return self.cost / self.saved if self.cost is not None and self.saved > 0 else None


def savings(rows: int, cost: float | None) -> Savings:
    """The estimate for a set of so many rows.

    Args:
        rows: of the set.
        cost: dollars, None for unknown.
    """
    return Savings(rows, rows * EPOCHS * RATE, RANK1_ROWS * RANK1_EPOCHS * RATE, cost)
