"""BM25 of the query: its terms weighted as if it were one more document.

BRIGHT's first stage (arXiv 2407.12883) and R2MED's (2505.14558) apply gensim's `LuceneBM25Model` not only to
the documents but to the query, too, and take the inner product. A term t that comes g times in a query of m
terms that the corpus knows, in n of N documents of a terms on average, counts

    w(t) = idf(t) · g / (g + k1 · (1 - b + b · m / a)),    idf(t) = ln(1 + (N - n + .5) / (n + .5)),

instead of g times: rare terms count twice over, and repetitions saturate, which matters where queries are
long and repeat themselves. The literature calls it BM25Q (arXiv 2509.02558).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from limrank_plugins.errors import InputError

WEIGHTINGS = ("count", "bm25")

Numbers = npt.NDArray[np.float64]


def check_weighting(weighting: str) -> str:
    """`weighting`, if it is one of `WEIGHTINGS`.

    Raises:
        InputError: it is not.
    """
    if weighting not in WEIGHTINGS:
        raise InputError(f"query_weighting must be one of {', '.join(WEIGHTINGS)}, but is {weighting!r}")
    return weighting


def query_weights(
    counts: npt.NDArray[Any], within: npt.NDArray[Any], documents: int, average: float, k1: float, b: float
) -> Numbers:
    """The weight w of each different term of a query.

    Args:
        counts: how often each comes in the query; shape (terms,).
        within: in how many documents each is; shape (terms,).
        documents: how many there are.
        average: their length in terms, above 0.
        k1: as for the documents.
        b: as for the documents.
    """
    times = counts.astype(np.float64)
    idf = np.log1p((documents - within + 0.5) / (within + 0.5))
    saturation: Numbers = times / (times + k1 * (1 - b + b * times.sum() / average))
    return idf * saturation


def weighted_scores(
    matrix: dict[str, Any], terms: Sequence[int], documents: int, average: float, k1: float, b: float
) -> Numbers:
    """One score for every document: the sum over the query's terms of w times the document's own weight.

    Args:
        matrix: the documents' weights by term, as bm25s holds them: `data` and `indices` (documents) of term
            t from `indptr[t]` to `indptr[t + 1]`.
        terms: the query's, as numbers, repeated as often as they come.
        documents: how many there are.
        average: their length in terms.
        k1: as for the documents.
        b: as for the documents.
    """
    distinct, counts = np.unique(np.asarray(terms, dtype=np.int64), return_counts=True)
    starts = np.asarray(matrix["indptr"][distinct], dtype=np.int64)
    ends = np.asarray(matrix["indptr"][distinct + 1], dtype=np.int64)
    weights = query_weights(counts, ends - starts, documents, average, k1, b)
    scores = np.zeros(documents, dtype=np.float64)
    for weight, start, end in zip(weights, starts, ends, strict=True):
        # A document is there once for a term, so that nothing is added twice to one place.
        scores[matrix["indices"][start:end]] += weight * matrix["data"][start:end]
    return scores
