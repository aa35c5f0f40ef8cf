"""A teacher's scores as the logits that a student learns."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from limrank_plugins.errors import InputError
from limrank_training.data.passage_rows import PassageRow
from limrank_training.plans import TeacherSettings

_MOST = 1e18  # its square is a number in float32


def as_logits(
    rows: Sequence[PassageRow], settings: TeacherSettings
) -> tuple[list[PassageRow], dict[str, Any]]:
    """The rows with logits for scores, and what is to be known of the scores.

    Args:
        rows: all of a file, each with a score.
        settings: how scores become logits.

    Raises:
        InputError: a probability that is none, its line named, or equal scores throughout.
    """
    scores = [row.score for row in rows if row.score is not None]
    least, most = min(scores), max(scores)
    if least == most:
        raise InputError(
            f"{rows[0].where} and all other rows have the score {least!r}: a teacher that tells no "
            f"passage from another teaches nothing"
        )
    mean, sd = statistics.fmean(scores), statistics.pstdev(scores)
    if settings.scale == "logit":
        targets = [
            _logit(score, row.where, settings.epsilon) for score, row in zip(scores, rows, strict=True)
        ]
    elif settings.scale == "zscore":
        if not 0 < sd < math.inf:  # numbers of 1e-200 or 1e200 have squares that floats have not
            raise InputError(
                f"the scores from {least!r} to {most!r} have no standard deviation in floating point"
            )
        targets = [settings.sd * ((score - mean) / sd) for score in scores]
    else:
        targets = scores
    for row, target in zip(rows, targets, strict=True):
        if not abs(target) <= _MOST:
            raise InputError(
                f"{row.where}: the score {row.score!r} is beyond what a loss in float32 can hold"
            )
    facts: dict[str, Any] = {"scale": settings.scale, "least": least, "most": most, "mean": mean, "sd": sd}
    teachers = Counter(row.teacher for row in rows)
    facts["teacher"] = ", ".join(name or "not stated" for name, _ in teachers.most_common())
    learned = [replace(row, score=target) for row, target in zip(rows, targets, strict=True)]
    return learned, facts


def _logit(score: float, where: str, epsilon: float) -> float:
    if not 0 <= score <= 1:
        raise InputError(
            f"{where}: teacher.scale=logit takes probabilities, from 0 to 1, but the score is {score!r}: set "
            f"teacher.scale to none for logits, or to zscore for other numbers"
        )
    kept = min(max(score, epsilon), 1 - epsilon)
    return math.log(kept / (1 - kept))
