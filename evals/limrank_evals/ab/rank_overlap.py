"""How alike two rankings are, without judgements."""

from __future__ import annotations

from collections.abc import Sequence

from limrank_plugins.checks import finite_number, whole_number


def overlap(first: Sequence[str], second: Sequence[str], cutoff: int) -> float:
    """The share of the first `cutoff` places whose documents both rankings have there, in whatever order.

    Of rankings that are shorter, the longer one's length takes the cutoff's place.
    """
    whole_number("cutoff", cutoff, least=1)
    longest = min(cutoff, max(len(first), len(second)))
    if not longest:
        return 1.0
    return len(set(first[:cutoff]) & set(second[:cutoff])) / longest


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], persistence: float = 0.9) -> float:
    """Rank-biased overlap (RBO; Webber, Moffat and Zobel 2010), extrapolated behind the ends (their RBO_ext).

    The mean overlap of the first d documents over all depths d, deeper ones counting less:
    (1 - p) Σ p^(d-1) A_d. Behind the shorter ranking, what it would share is taken to go on as before, and so
    is, behind the longer one, the overlap.

    Args:
        first: documents, best first, each once.
        second: the same.
        persistence: p, how likely a reader goes on to the next document; with .9 the first ten have 86 % of
            the weight.

    Returns:
        From 0, nothing in common, to 1, equal; 1 for two that are empty.
    """
    p = finite_number("persistence", persistence, above=0)
    shorter, longer = sorted((first, second), key=len)
    if not longer:
        return 1.0
    if not shorter:
        return 0.0
    s, total, weight = len(shorter), 0.0, 1.0
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    common = short_common = 0
    agreement = 0.0
    for depth, document in enumerate(longer, start=1):
        seen_long.add(document)
        if depth <= s:
            other = shorter[depth - 1]
            seen_short.add(other)
            common += (document in seen_short) + (other in seen_long and other != document)
            short_common = common
        else:
            common += document in seen_short
        beyond = max(0, depth - s)
        agreement = (common + short_common * beyond / s) / depth
        total += weight * agreement
        weight *= p
    return (1 - p) * total + weight * agreement
