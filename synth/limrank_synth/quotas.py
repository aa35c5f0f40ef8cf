"""How many of each sort: whole numbers that come as near to shares as whole numbers can."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

from limrank_plugins.errors import InputError

K = TypeVar("K")


def largest_remainder(total: int, weights: Mapping[K, float]) -> dict[K, int]:
    """Share a total out by weights (Hamilton's method).

    Every key gets its exact share rounded down; what is left goes to the largest remainders, equal ones
    in the mapping's order. So no count is off its share by 1 or more, and they sum to the total. With
    the sizes of groups as weights and a total of at most their sum, no count exceeds its group.

    Args:
        total: at least 0.
        weights: at least 0 each, and not all 0 unless the total is.

    Raises:
        InputError: a weight or the total is negative, or there is nothing to share it out to.
    """
    exact = {key: Fraction(weight) for key, weight in weights.items()}
    whole = sum(exact.values(), Fraction(0))
    if total < 0 or any(weight < 0 for weight in exact.values()):
        raise InputError(f"counts and weights must be >= 0, but got {total} and {dict(weights)}")
    if whole == 0:
        if total:
            raise InputError(f"{total} rows cannot be shared out: all weights are 0")
        return dict.fromkeys(exact, 0)
    shares = {key: total * weight / whole for key, weight in exact.items()}
    counts = {key: int(share) for key, share in shares.items()}
    left = total - sum(counts.values())
    by_remainder = sorted(shares, key=lambda key: counts[key] - shares[key])
    for key in by_remainder[:left]:
        counts[key] += 1
    return counts
