"""From verdicts to a ranking: sorting, ties, failures, thresholds, cuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from limrank_plugins.calibration import Calibration
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.data import Document, Failure, Hit, Query, Ranking, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.recipes import Recipe
from limrank_plugins.verdicts import Outcome


def to_ranking(
    recipe: Recipe,
    query: Query,
    documents: Sequence[Document],
    outcome: Outcome,
    top_n: int | None = None,
    threshold: float | None = None,
    calibration: Calibration | None = None,
) -> Ranking:
    """Arrange the judged documents; `threshold` filters, then `top_n` cuts.

    With a calibration, scores are probabilities and so is the threshold; documents with equal probabilities
    stay in the order of their scores.
    """
    verdicts = outcome.verdicts
    if calibration is not None and threshold is not None:
        threshold = calibration.least_score(threshold, (verdict.score for verdict in verdicts))
    order = outcome.best_first(threshold)
    reasons = [verdict.failure for verdict in outcome.with_reasons()]
    usage = Usage.total(verdict.usage for verdict in verdicts)
    kind = recipe.score_kind if calibration is None else "probability"
    hits = tuple(
        Hit(
            id=documents[i].id or "",
            document=documents[i],
            index=i,
            rank=rank,
            # An order has no scores, even where it was made by comparing some: they are of different groups.
            score=_shown(verdicts[i].score, calibration) if outcome.order is None else None,
            explanation=verdicts[i].explanation,
            failure=reasons[i],
            cut_tokens=verdicts[i].cut_tokens,
            piece=verdicts[i].piece,
        )
        for rank, i in enumerate(order[:top_n], start=1)
    )
    failed = [
        Failure(document.id or "", reason)
        for document, reason in zip(documents, reasons, strict=True)
        if reason is not None
    ]
    return Ranking(
        query=query,
        hits=hits,
        recipe=recipe.name,
        score_kind=kind if outcome.order is None else "rank",
        comparable=recipe.comparable and outcome.order is None,
        usage=usage,
        failures=tuple(failed),
        repairs=sum(verdict.repairs for verdict in verdicts),
        query_cut_tokens=max((verdict.query_cut_tokens for verdict in verdicts), default=0),
    )


def _shown(score: float | None, calibration: Calibration | None) -> float | None:
    return score if score is None or calibration is None else calibration(score)


class CutNames(NamedTuple):
    """What a caller writes where the core says `top_n` and `threshold`; messages name these."""

    top_n: str = "top_n"
    threshold: str = "threshold"


ARGUMENTS = CutNames()
"""As in Python."""


def check_cut(top_n: int | None, threshold: float | None, names: CutNames = ARGUMENTS) -> None:
    """Raise an `InputError` for a `top_n` or `threshold` that cannot be meant."""
    if top_n is not None:
        whole_number(names.top_n, top_n, least=1)
    if threshold is not None:
        finite_number(names.threshold, threshold)


def check_threshold(recipe: Recipe, threshold: float | None, names: CutNames = ARGUMENTS) -> None:
    """Raise an `InputError` for a threshold on scores that are not comparable between queries."""
    if threshold is None or recipe.comparable:
        return
    why = recipe.leaning or (
        f"scores of recipe {recipe.name!r} are not comparable between queries; use {names.top_n}, or a "
        f"recipe with comparable scores such as 'limrank'"
    )
    raise InputError(f"{names.threshold}={threshold} has no meaning here: {why}")
