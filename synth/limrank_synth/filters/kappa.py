"""How far two judges agree beyond chance: Cohen's kappa, reported over all rows, no filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from limrank_synth.filters.agreement import majority
from limrank_synth.records import INTENTS, Row


class Kappa(NamedTuple):
    """The agreement of two judges.

    Attributes:
        items: how many both judged.
        observed: the share on which they say the same, p_o.
        expected: the share on which they would by chance, each keeping to its own frequencies, p_e.
        kappa: (p_o - p_e) / (1 - p_e); None without items, and where both always say the same one thing,
            so that nothing could be beyond chance.
    """

    items: int
    observed: float
    expected: float
    kappa: float | None


def cohens_kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> Kappa:
    """Cohen's kappa of two judges (A Coefficient of Agreement for Nominal Scales, 1960).

    p_e is the sum over the categories of the product of both judges' shares.

    Args:
        pairs: what the two said about each item.
    """
    labels = list(pairs)
    if not labels:
        return Kappa(0, 0.0, 0.0, None)
    total = len(labels)
    first, second = (Counter(side) for side in zip(*labels, strict=True))
    # In whole numbers until the end, so that 1 is exactly 1 and 0 / 0 is seen and not rounded away.
    same = sum(a == b for a, b in labels)
    chance = sum(count * second[category] for category, count in first.items())
    squared = total * total
    kappa = None if chance == squared else (same * total - chance) / (squared - chance)
    return Kappa(total, same / total, chance / squared, kappa)


def judges_report(rows: Sequence[Row]) -> dict[str, Any]:
    """What the judges' verdicts say about each other, over rows that no filter has touched.

    Returns:
        `two`: the two judges' majorities against each other, where there is a second judge; `intent`: the
        first judge's majority against what the passage was written to be; `unanimous`: the share of rows
        on which the first judge's votes are all the same.
    """
    two = cohens_kappa((row.relevant, majority(row.second)) for row in rows if row.second)
    meant = cohens_kappa((row.relevant, INTENTS[row.intent].relevant) for row in rows)
    unanimous = sum(len(set(row.votes)) == 1 for row in rows)
    return {
        "two": two._asdict() if two.items else None,
        "intent": meant._asdict() if meant.items else None,
        "unanimous": unanimous / len(rows) if rows else None,
    }
