"""How far two raters agree beyond chance: Cohen's kappa, of judges and of reviewers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple


class Kappa(NamedTuple):
    """The agreement of two raters.

    Attributes:
        items: how many both rated.
        observed: the share on which they say the same, p_o.
        expected: the share on which they would by chance, each keeping to its own frequencies, p_e.
        kappa: (p_o - p_e) / (1 - p_e), at most 1, and 0 for chance; None without items, and where both
            always say the same one thing, so that nothing could be beyond chance (0 / 0).
    """

    items: int
    observed: float
    expected: float
    kappa: float | None


def cohens_kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> Kappa:
    """Cohen's kappa (A Coefficient of Agreement for Nominal Scales, 1960), with any number of categories.

    p_e is the sum over the categories of the product of both raters' shares.
    """
    ratings = list(pairs)
    if not ratings:
        return Kappa(0, 0.0, 0.0, None)
    total = len(ratings)
    first, second = (Counter(side) for side in zip(*ratings, strict=True))
    # In whole numbers until the end, so that 0 / 0 is seen and not rounded away.
    same = sum(mine == theirs for mine, theirs in ratings)
    chance = sum(count * second[category] for category, count in first.items())
    square = total * total
    kappa = None if chance == square else (same * total - chance) / (square - chance)
    return Kappa(total, same / total, chance / square, kappa)
