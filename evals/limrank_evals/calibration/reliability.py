"""How far probabilities are from how often they are right: ECE, Brier's score, and the bins of a plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from limrank_evals.calibration.judged_scores import JudgedScore
from limrank_evals.stats import Interval, wilson
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.thresholds import fit_threshold

BINS = 10


class Bin(NamedTuple):
    """Documents with about one probability: their mean one, the share that is relevant, how many they are."""

    probability: float
    relevant: float
    documents: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How good probabilities are.

    Attributes:
        ece: expected calibration error: the bins' |mean probability - share of relevant|, weighted by size.
        brier: mean squared difference from 1 (relevant) and 0.
        bins: those that hold a document, of equal width in [0, 1].
    """

    ece: float
    brier: float
    bins: tuple[Bin, ...]


def reliability(probabilities: Sequence[float], relevant: Sequence[bool], bins: int = BINS) -> Reliability:
    """Measure probabilities against what people found; the last bin holds 1.

    Raises:
        InputError: no documents, a probability outside [0, 1], or no bins.
    """
    whole_number("bins", bins, least=1)
    if not probabilities or not all(0 <= p <= 1 for p in probabilities):
        raise InputError("reliability is measured of at least one probability, each in [0, 1]")
    members: dict[int, list[tuple[float, bool]]] = {}
    for pair in zip(probabilities, relevant, strict=True):
        members.setdefault(min(int(pair[0] * bins), bins - 1), []).append(pair)
    held = [
        Bin(math.fsum(p for p, _ in pairs) / len(pairs), sum(r for _, r in pairs) / len(pairs), len(pairs))
        for _, pairs in sorted(members.items())
    ]
    total = len(probabilities)
    return Reliability(
        math.fsum(each.documents * abs(each.probability - each.relevant) for each in held) / total,
        math.fsum((p - r) ** 2 for p, r in zip(probabilities, relevant, strict=True)) / total,
        tuple(held),
    )


def as_they_are(score_kind: str) -> Callable[[float], float] | None:
    """How scores of a kind read as probabilities without a calibration; None where they do not."""
    if score_kind == "probability":
        return lambda score: score
    if score_kind == "logit":
        return lambda score: 1 / (1 + math.exp(-score)) if score > -700 else 0.0
    return None


class PreciseThreshold(NamedTuple):
    """The lowest threshold that reaches a precision.

    Attributes:
        threshold: keep documents with at least this probability.
        precision: of those that are kept.
        interval: Wilson's, as if documents were drawn one by one; those of one query are alike, so it is
            rather too narrow.
        kept: documents with at least that probability.
        recall: share of the relevant ones that are kept.
    """

    threshold: float
    precision: float
    interval: Interval
    kept: int
    recall: float


def precise_threshold(
    scores: Sequence[JudgedScore], curve: Callable[[float], float], precision: float, level: float = 0.95
) -> PreciseThreshold:
    """The lowest probability at which documents are to be cut for this precision.

    Raises:
        InputError: no threshold reaches it, or it is no share.
    """
    kinds = [(curve(score.score), score.relevant) for score in scores]
    relevant = [p for p, is_relevant in kinds if is_relevant]
    irrelevant = [p for p, is_relevant in kinds if not is_relevant]
    threshold = fit_threshold(relevant, irrelevant, by="precision", precision=precision)
    right = sum(p >= threshold for p in relevant)
    kept = right + sum(p >= threshold for p in irrelevant)
    interval = wilson(right, kept, level=level)
    assert interval is not None  # a precision of nothing is reached by no threshold
    return PreciseThreshold(threshold, right / kept, interval, kept, right / len(relevant))
