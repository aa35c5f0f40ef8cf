"""The matrix is bit for bit the one that bm25s makes, whatever is counted at once."""

from __future__ import annotations

from typing import Any

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document, samples
from limrank_plugins.retrievers import postings as module
from limrank_plugins.retrievers.analysis import Analyzer
from limrank_plugins.retrievers.postings import Postings

K1, B = 0.9, 0.4
term_lists = st.lists(st.lists(st.integers(0, 12), max_size=20), min_size=1, max_size=12)


def theirs(numbered: list[list[int]], vocabulary: dict[Any, int], k1: float, b: float) -> dict[str, Any]:
    index = bm25s.BM25(k1=k1, b=b, method="lucene", backend="numpy")
    index.index((numbered, vocabulary), create_empty_token=False, show_progress=False)
    return index.scores


def same(ours: dict[str, Any], other: dict[str, Any]) -> None:
    assert ours["num_docs"] == other["num_docs"]
    for name in ("data", "indices", "indptr"):
        assert ours[name].dtype == other[name].dtype
        assert np.array_equal(ours[name], other[name]), name


@pytest.mark.parametrize("at_once", [1, 7, 1 << 21])
def test_of_the_sample_collection(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    documents, vocabulary = list(samples.documents()), dict[str, int]()
    numbers = Analyzer().numbering(vocabulary)
    counted = Postings(numbers)
    assert list(counted.counted(documents)) == documents
    numbered = [numbers(document.passage) for document in documents]
    assert (counted.count, counted.terms) == (len(documents), sum(map(len, numbered)))
    assert counted.average == pytest.approx(np.mean([len(terms) for terms in numbered]))
    same(counted.matrix(len(vocabulary), K1, B), theirs(numbered, vocabulary, K1, B))


@given(term_lists, st.floats(0, 3), st.floats(0, 1), st.integers(1, 30))
def test_of_any_documents(numbered: list[list[int]], k1: float, b: float, at_once: int) -> None:
    if not any(numbered):
        return
    different = {term: number for number, term in enumerate(sorted({t for terms in numbered for t in terms}))}
    numbered = [[different[term] for term in terms] for terms in numbered]
    coming = iter(numbered)
    counted = Postings(lambda text: next(coming))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        list(counted.counted(Document("", id=str(i)) for i in range(len(numbered))))
    same(counted.matrix(len(different), k1, b), theirs(numbered, different, k1, b))


def test_documents_without_terms() -> None:
    counted = Postings(lambda text: [])
    list(counted.counted([Document("")]))
    assert (counted.count, counted.average) == (1, 0.0)
