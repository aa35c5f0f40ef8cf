"""A threshold from labelled scores: from which score on a document counts as relevant.

RagVL (arXiv 2407.21439) keeps what scores above the place where the distributions of relevant and
irrelevant scores cross; how that place is estimated is not published. Here it is the threshold with the
least total error, which for two distributions of densities is exactly a crossing: there the error rates'
sum, P(irrelevant >= t) + P(relevant < t), stops falling. It needs no bins, no bandwidth and no shape of
the distributions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from limrank_plugins.checks import is_finite
from limrank_plugins.errors import InputError

By = Literal["crossing", "f1", "precision"]


@dataclass(frozen=True, slots=True)
class _Counts:
    """What a threshold lets through."""

    relevant: int
    irrelevant: int

    @property
    def precision(self) -> float:
        kept = self.relevant + self.irrelevant
        return self.relevant / kept if kept else 1.0


def fit_threshold(
    relevant_scores: Iterable[float],
    irrelevant_scores: Iterable[float],
    *,
    by: By = "crossing",
    precision: float | None = None,
) -> float:
    """The threshold t for `Reranker.rank(threshold=t)`, which keeps scores >= t.

    All thresholds that separate the given scores in the same way are equally good; the answer is the
    middle between the lowest score that is kept and the highest that is not.

    Args:
        relevant_scores: of documents that are relevant, from a recipe with comparable scores.
        irrelevant_scores: of documents that are not, better hard ones than random ones.
        by: `"crossing"` (default) minimises the share of irrelevant documents that are kept plus the
            share of relevant ones that are not, however many there are of each; `"f1"` maximises F1 of
            the kept ones, where how many there are matters; `"precision"` is the lowest threshold with
            at least this precision, so that as many relevant ones as possible are kept.
        precision: the target for `by="precision"`, in (0, 1].

    Several separate optima: the lowest one, which keeps the most.

    Raises:
        InputError: no scores of one kind, one that is not finite, scores that do not separate (no
            threshold is better than keeping everything or nothing), or a precision that is not reached.

    Example:
        >>> fit_threshold([1.0, 0.75, 0.5], [0.0, 0.25, 0.625])
        0.375
    """
    relevant = _checked(relevant_scores, "relevant_scores")
    irrelevant = _checked(irrelevant_scores, "irrelevant_scores")
    if (by == "precision") != (precision is not None):
        raise InputError("give precision=… together with by='precision', and only then")
    if by == "crossing":
        return _crossing(relevant, irrelevant)
    if by == "f1":
        return _best(
            relevant, irrelevant, lambda c: 2 * c.relevant / (len(relevant) + c.relevant + c.irrelevant)
        )
    if by == "precision" and precision is not None:
        if isinstance(precision, bool) or not 0 < precision <= 1:
            raise InputError(f"precision must be in (0, 1], but got {precision!r}")
        return _precise(relevant, irrelevant, precision)
    raise InputError(f"by must be 'crossing', 'f1' or 'precision', but got {by!r}")


def _crossing(relevant: Sequence[float], irrelevant: Sequence[float]) -> float:
    # Whole numbers, so that equal errors are equal: the shares' sum times both sizes.
    def gain(counts: _Counts) -> int:
        return counts.relevant * len(irrelevant) - counts.irrelevant * len(relevant)

    best = max(gain(counts) for _, counts in _thresholds(relevant, irrelevant))
    if best <= 0:
        raise InputError(
            "the scores do not separate: no threshold is better than keeping everything. Relevant documents "
            "do not score higher than irrelevant ones; look at the labels, or use another model"
        )
    return _best(relevant, irrelevant, gain)


def _best(relevant: Sequence[float], irrelevant: Sequence[float], worth: Callable[[_Counts], float]) -> float:
    thresholds = _thresholds(relevant, irrelevant)
    best = max(worth(counts) for _, counts in thresholds)
    return next(threshold for threshold, counts in thresholds if worth(counts) == best)


def _precise(relevant: Sequence[float], irrelevant: Sequence[float], target: float) -> float:
    for threshold, counts in _thresholds(relevant, irrelevant):
        if counts.relevant and counts.precision >= target:
            return threshold
    reached = max(c.precision for _, c in _thresholds(relevant, irrelevant) if c.relevant)
    raise InputError(
        f"no threshold reaches precision {target:g}: the most these scores give is {reached:.3f}"
    )


def _thresholds(relevant: Sequence[float], irrelevant: Sequence[float]) -> list[tuple[float, _Counts]]:
    """Every threshold that separates the scores in another way, ascending, and what it keeps.

    The first one, the lowest score itself, keeps everything.
    """
    marked = sorted([(score, True) for score in relevant] + [(score, False) for score in irrelevant])
    kept = _Counts(len(relevant), len(irrelevant))
    thresholds = [(marked[0][0], kept)]
    for (score, is_relevant), (following, _) in pairwise(marked):
        kept = _Counts(kept.relevant - is_relevant, kept.irrelevant - (not is_relevant))
        if following > score:
            thresholds.append((_middle(score, following), kept))
    return thresholds


def _middle(low: float, high: float) -> float:
    middle = low / 2 + high / 2
    # Neighbouring numbers have no middle; the threshold itself is kept.
    return middle if low < middle <= high else high


def _checked(scores: Iterable[float], name: str) -> list[float]:
    values = list(scores)
    strange = [score for score in values if isinstance(score, bool) or not is_finite(score)]
    if strange:
        raise InputError(f"{name} must be finite numbers, but one is {strange[0]!r}")
    if not values:
        raise InputError(f"{name} is empty: give at least one score of each kind")
    return [float(score) for score in values]
