"""nDCG of one ranking, for rewards, filters and watched training; evaluations measure with ir_measures."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ndcg(gains: Sequence[float], cutoff: int = 10) -> float:
    """Normalised discounted cumulative gain of a ranking, as trec_eval has it (linear gain).

    DCG@k is the sum over ranks r <= k of gain / log2(r + 1); it is divided by that of the same gains in
    descending order.

    Args:
        gains: of all documents that were ranked, best-ranked first; 0 for irrelevant ones.
        cutoff: how many places count.

    Returns:
        A number in [0, 1]; 0 where no document has a gain.
    """
    ideal = _dcg(sorted(gains, reverse=True)[:cutoff])
    return _dcg(gains[:cutoff]) / ideal if ideal > 0 else 0.0


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
