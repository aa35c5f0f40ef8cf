"""How far two judges agree on grades, and two measurements on the order of systems; for many draws at once.

`limrank_synth.kappa` has Cohen's kappa of any two raters' answers, which no order is known of. Here grades
have one, and everything is computed for thousands of draws of the bootstrap in one go.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def disagreement(grades: int, power: int) -> Array:
    """How bad it is to say one grade for another, for `weighted_kappa`: |i - j| to a power.

    Args:
        grades: how many there are, from 0.
        power: 2 for quadratic weights; 0 for plain kappa, to which all mistakes are equal.
    """
    apart = np.abs(np.subtract.outer(np.arange(grades), np.arange(grades))).astype(np.float64)
    return np.where(apart > 0, apart**power, 0.0)


def weighted_kappa(tables: Array, weights: Array) -> Array:
    """Cohen's weighted kappa (1968): 1 - Σ w·observed / Σ w·expected, both summed over all pairs of grades.

    Args:
        tables: of shape (…, grades, grades): how often one judge said i where the other said j.
        weights: `disagreement`.

    Returns:
        Of shape (…); NaN where both always said the same one grade, so that nothing could be beyond chance.
    """
    total, rows, columns = tables.sum((-2, -1)), tables.sum(-1), tables.sum(-2)
    observed = (tables * weights).sum((-2, -1)) * total
    expected = np.einsum("...i,ij,...j->...", rows, weights, columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(expected > 0, 1 - observed / expected, np.nan))


def kendall_tau(first: Array, second: Array) -> Array:
    """Kendall's tau-b of two measurements of the same systems: 1 for one order, -1 for the reverse.

    Args:
        first: of shape (…, systems); numbers that differ after the twelfth decimal only are equal.
        second: the same.

    Returns:
        Of shape (…); NaN where all systems are equal under one of them, or there is but one.
    """
    left, right = np.triu_indices(first.shape[-1], 1)
    first, second = np.round(first, 12), np.round(second, 12)
    mine, theirs = (np.sign(values[..., left] - values[..., right]) for values in (first, second))
    untied = np.sqrt((mine**2).sum(-1) * (theirs**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(untied > 0, (mine * theirs).sum(-1) / untied, np.nan))
