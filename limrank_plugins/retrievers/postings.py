"""How often which term is in which document, counted as documents come, and the matrix of BM25 made of it.

The matrix is bit for bit that of `bm25s.BM25.index` (method `lucene`, float32), which keeps a list of Python
numbers for every document and sorts all of them at once: a million passages took it 20 minutes and 7 GB. Here
a posting takes 12 bytes until the matrix is made and 8 in it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from limrank_plugins.data import Document

Integers = npt.NDArray[np.int32]
_AT_ONCE = 1 << 21  # terms that are sorted together


class Postings:
    """Counts the terms of documents.

    Args:
        numbers: from a passage to the numbers of its terms, from 0, as often as they come.

    Attributes:
        count: how many documents there were.
        terms: how many terms they had, repetitions included.
    """

    def __init__(self, numbers: Callable[[str], list[int]]) -> None:
        self.count = 0
        self.terms = 0
        self._numbers = numbers
        self._waiting = array("i")
        self._lengths = array("i")
        self._sorted = 0  # documents whose terms are in a block
        self._blocks: list[tuple[Integers, Integers, Integers]] = []

    def counted(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yields the documents, each after its terms were counted."""
        for document in documents:
            numbers = self._numbers(document.passage)
            self._waiting.extend(numbers)
            self._lengths.append(len(numbers))
            self.count += 1
            self.terms += len(numbers)
            if len(self._waiting) >= _AT_ONCE:
                self._sort()
            yield document

    @property
    def average(self) -> float:
        """The length of a document in terms."""
        return self.terms / self.count if self.count else 0.0

    def matrix(self, terms: int, k1: float, b: float) -> dict[str, Any]:
        """The weight of every term in every document, by term, then by document, as bm25s holds them.

        Args:
            terms: how many different ones there are.
            k1: of BM25.
            b: of BM25.
        """
        self._sort()
        within = np.zeros(terms, dtype=np.int64)
        for of_terms, _, _ in self._blocks:
            within += np.bincount(of_terms, minlength=terms)
        starts = np.zeros(terms + 1, dtype=np.int64)
        np.cumsum(within, out=starts[1:])
        lengths = np.asarray(self._lengths, dtype=np.float64)
        # In this order of operations, and in double precision, as the library computes it.
        norms = k1 * ((1 - b) + b * lengths / self.average) if self.terms else lengths
        idf = _idf(within, self.count)
        weights = np.empty(int(starts[-1]), dtype=np.float32)
        places = np.empty(len(weights), dtype=np.int32)
        heads = starts[:-1].copy()
        while self._blocks:
            of_terms, of_documents, counts = self._blocks.pop(0)
            frequencies = counts.astype(np.float64)
            in_block = np.bincount(of_terms, minlength=terms)
            before = np.cumsum(in_block) - in_block
            to = (heads - before)[of_terms] + np.arange(len(of_terms))
            weights[to] = idf[of_terms] * (frequencies / (norms[of_documents] + frequencies))
            places[to] = of_documents
            heads += in_block
        return {"data": weights, "indices": places, "indptr": starts, "num_docs": self.count}

    def _sort(self) -> None:
        """The terms that wait become a block: different (term, document), by term, with their counts."""
        if not self._waiting:
            return
        lengths = np.asarray(self._lengths[self._sorted :], dtype=np.int64)
        documents = np.repeat(np.arange(self._sorted, self.count, dtype=np.int64), lengths)
        keys = np.asarray(self._waiting, dtype=np.int64) << 32 | documents
        pairs, counts = np.unique(keys, return_counts=True)
        block = (pairs >> 32, pairs & 0xFFFFFFFF, counts)
        self._blocks.append(tuple(part.astype(np.int32) for part in block))
        self._waiting = array("i")
        self._sorted = self.count


def _idf(within: npt.NDArray[np.int64], documents: int) -> npt.NDArray[np.float32]:
    """Of terms in so many documents each; 0 for a term that is in none."""
    different, which = np.unique(within, return_inverse=True)
    values = [math.log(1 + (documents - n + 0.5) / (n + 0.5)) if n else 0.0 for n in different.tolist()]
    of_each: npt.NDArray[np.float32] = np.asarray(values, dtype=np.float32)[which]
    return of_each
