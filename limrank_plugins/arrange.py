"""From judgements to a ranking: sorting, ties, failures, thresholds, cuts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from limrank_plugins.data import Document, Failure, Hit, Judgement, Query, Ranking, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.recipes import Recipe


def to_ranking(
    recipe: Recipe,
    query: Query,
    documents: Sequence[Document],
    judgements: Sequence[Judgement],
    top_n: int | None = None,
    threshold: float | None = None,
) -> Ranking:
    """Arrange the judged documents; `threshold` filters, then `top_n` cuts."""
    usage = Usage()
    for judgement in judgements:
        usage = usage + judgement.usage
    hits = tuple(
        Hit(
            id=documents[i].id or "",
            document=documents[i],
            index=i,
            rank=rank,
            score=judgements[i].score,
            explanation=judgements[i].explanation,
            failure=_reason(judgements[i]),
            cut_tokens=judgements[i].cut_tokens,
        )
        for rank, i in enumerate(arrange(judgements, threshold)[:top_n], start=1)
    )
    reasons = [(document.id or "", _reason(j)) for document, j in zip(documents, judgements, strict=True)]
    return Ranking(
        query=query,
        hits=hits,
        recipe=recipe.name,
        score_kind=recipe.score_kind,
        comparable=recipe.comparable,
        usage=usage,
        failures=tuple(Failure(identifier, reason) for identifier, reason in reasons if reason is not None),
        repairs=sum(judgement.repairs for judgement in judgements),
    )


def arrange(judgements: Sequence[Judgement], threshold: float | None = None) -> list[int]:
    """Input positions, best first.

    Sorted by score, then by tie-breaker (where both documents have one), then by input order.
    Those under the threshold are left out. A failed document is put back at its input position.
    """
    judged = [
        (i, j.score)
        for i, j in enumerate(judgements)
        if j.score is not None and (threshold is None or j.score >= threshold)
    ]
    ties = [judgements[i].tie for i, _ in judged]
    broken = [tie for tie in ties if tie is not None]
    # A tie-breaker only some documents have would favour them for having one.
    use_ties = len(broken) == len(judged)
    keyed = [
        (-score, -tie if use_ties and tie is not None else 0.0, i)
        for (i, score), tie in zip(judged, ties, strict=True)
    ]
    order = [i for _, _, i in sorted(keyed)]
    for i, judgement in enumerate(judgements):
        if judgement.score is None:
            order.insert(min(i, len(order)), i)
    return order


def check_cut(top_n: int | None, threshold: float | None) -> None:
    """Raise an `InputError` for a `top_n` or `threshold` that cannot be meant."""
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 1):
        raise InputError(f"top_n must be a whole number > 0, or None for all, but got {top_n!r}")
    if threshold is not None and (isinstance(threshold, bool) or not math.isfinite(threshold)):
        raise InputError(f"threshold must be a finite number, or None for none, but got {threshold!r}")


def _reason(judgement: Judgement) -> str | None:
    return None if judgement.score is not None else judgement.failure or "no reason given"
