"""Sparse rows of weights by token, and a query's scores: s(q, d) = Σ over q's tokens of their weight in d."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """Compressed rows.

    Attributes:
        indptr: int64, shape (rows + 1,): row i is entries indptr[i] to indptr[i + 1].
        indices: int32, shape (entries,): token ids, ascending within a row.
        values: float32 weights, or uint8 or uint16 numbers of steps, shape (entries,).
        step: what a value of 1 weighs; None where values are weights.
    """

    indptr: Array
    indices: Array
    values: Array
    step: float | None = None

    def scores(self, query: Sequence[int], rows: Sequence[int]) -> Array:
        """The score of each of these rows for the query's tokens, which count as often as they come.

        Summed in double precision: weights are float32, so the sum is exact, and no score depends on
        the other rows or on the order of the query's tokens. Shape (rows,), float64.
        """
        at = np.asarray(rows, dtype=np.int64)
        if not query or not len(at):
            return np.zeros(len(at))
        counted = Counter(query)
        tokens = np.asarray(sorted(counted), dtype=np.int32)
        times = np.asarray([counted[token] for token in sorted(counted)], dtype=np.float64)
        starts, lengths = self.indptr[at], self.indptr[at + 1] - self.indptr[at]
        ends = np.cumsum(lengths)
        total = int(ends[-1])
        # Entry numbers of all rows, one row behind the other.
        entries = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
        there = self.indices[entries]
        places = np.minimum(np.searchsorted(tokens, there), len(tokens) - 1)
        hits = np.flatnonzero(tokens[places] == there)
        weights = self.values[entries[hits]].astype(np.float64)
        weights[~(weights >= 0)] = np.nan  # damaged on disk; no sum with them may look sound
        if self.step is not None:
            weights *= self.step
        owners = np.repeat(np.arange(len(at)), lengths)[hits]
        summed: Array = np.bincount(owners, weights=weights * times[places[hits]], minlength=len(at))
        return summed


def sparse(tokens: Sequence[int], weights: Sequence[float], stopped: Collection[int]) -> Sparse:
    """One row: the largest weight of each token that counts; a weight of 0 is left out."""
    ids, inverse = np.unique(np.asarray(tokens, dtype=np.int32), return_inverse=True)
    best = np.zeros(len(ids), dtype=np.float32)
    np.maximum.at(best, inverse, np.asarray(weights, dtype=np.float32))
    kept = (best > 0) & ~np.isin(ids, np.asarray(sorted(stopped), dtype=np.int32))
    return Sparse(np.asarray([0, kept.sum()], dtype=np.int64), ids[kept], best[kept])


def stacked(rows: Sequence[Sparse]) -> Sparse:
    """Many rows as one; at least one row, none of them quantised."""
    lengths = [len(row.indices) for row in rows]
    return Sparse(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([row.indices for row in rows]).astype(np.int32),
        np.concatenate([row.values for row in rows]).astype(np.float32),
    )
