"""How far two judges agree beyond chance: Cohen's kappa, reported over all rows, no filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def cohens_kappa(pairs: Iterable[tuple[bool, bool]]) -> Kappa:
    r"""Cohen's kappa of two judges with two answers (Cohen 1960).

    p_e = a·b + (1 - a)·(1 - b), where a and b are the shares of "relevant" of the first and the second.
    """
    first = second = same = total = 0
    for one, other in pairs:
        total += 1
        first += one
        second += other
        same += one == other
    if not total:
        return Kappa(0, 0.0, 0.0, None)
    observed = same / total
    # In whole numbers as far as it goes: 1 must be exactly 1.
    chance = first * second + (total - first) * (total - second)
    expected = chance / (total * total)
    if chance == total * total:
        return Kappa(total, observed, expected, None)
    return Kappa(total, observed, expected, (observed - expected) / (1 - expected))


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
