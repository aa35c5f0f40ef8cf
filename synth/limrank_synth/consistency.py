"""ReasonRank's self-consistency (arXiv 2508.07050): a gold list must agree with the pointwise labels."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ndcg(gains: Sequence[float], k: int = 10) -> float:
    """nDCG@k of a ranking.

    DCG@k is the sum over ranks r <= k of gain / log2(r + 1), as trec_eval has it (linear gain), and is
    divided by that of the same gains in descending order. No gain at all: 0.

    Args:
        gains: of each document, best-ranked first, at least 0 each. All documents there are.
        k: the depth.
    """
    best = _dcg(sorted(gains, reverse=True)[:k])
    return _dcg(gains[:k]) / best if best > 0 else 0.0


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
