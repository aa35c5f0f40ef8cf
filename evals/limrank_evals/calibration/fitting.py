"""Isotonic regression and Platt's logistic curve, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from limrank_evals.calibration.judged_scores import JudgedScore
from limrank_plugins.calibration import Isotonic, Platt
from limrank_plugins.errors import InputError, require

Method = Literal["isotonic", "platt"]

FEW = 1000
"""Documents under which isotonic regression tends to fit chance (Niculescu-Mizil and Caruana 2005)."""


def fit_curve(scores: Sequence[JudgedScore], method: Method = "isotonic") -> Isotonic | Platt:
    """The probability of relevance as a function of the score.

    Args:
        scores: of both kinds.
        method: `"isotonic"` is the never-falling curve with the least squared error; `"platt"` a logistic
            one with the targets of Platt (1999), (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2), which is finite for
            scores that separate, too.

    Raises:
        InputError: an unknown method, or relevant documents do not score higher than others.
        MissingExtra: scikit-learn is not installed.
    """
    if method not in get_args(Method):
        raise InputError(f"method must be {' or '.join(get_args(Method))}, but is {method!r}")
    x = np.array([score.score for score in scores], dtype=np.float64)
    y = np.array([score.relevant for score in scores], dtype=np.float64)
    curve = _isotonic(x, y) if method == "isotonic" else _platt(x, y)
    rises = curve.probabilities[-1] > curve.probabilities[0] if isinstance(curve, Isotonic) else True
    if not rises:
        raise _flat()
    return curve


def _flat() -> InputError:
    return InputError(
        "the scores do not rise with relevance, so there is nothing to calibrate: look at the judgements, or "
        "use another model"
    )


def _isotonic(x: np.ndarray, y: np.ndarray) -> Isotonic:
    sklearn = require("sklearn.isotonic", "evals", "limrank calibrate")
    fitted = sklearn.IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, y)
    return Isotonic(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))


def _platt(x: np.ndarray, y: np.ndarray) -> Platt:
    sklearn = require("sklearn.linear_model", "evals", "limrank calibrate")
    relevant = float(y.sum())
    target = np.where(y > 0, (relevant + 1) / (relevant + 2), 1 / (len(y) - relevant + 2))
    # In standard units, or the search for the least loss depends on how large the scores are.
    centre, scale = float(x.mean()), float(x.std())
    if not scale > 0:
        raise _flat()
    units = ((x - centre) / scale)[:, None]
    # A document is as much relevant as its target says, and irrelevant for the rest.
    model = sklearn.LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    model.fit(
        np.concatenate([units, units]),
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope = float(model.coef_[0, 0]) / scale
    if not slope > 0:
        raise _flat()
    return Platt(slope, float(model.intercept_[0]) - slope * centre)
