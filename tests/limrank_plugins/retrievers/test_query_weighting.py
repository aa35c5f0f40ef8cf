"""BM25 of the query equals the formula written out; what counts, counts as before."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bm25_reference import PASSAGES, corpora, questions, ranked, terms
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.retrievers import build_retriever, load_retriever
from limrank_plugins.retrievers import lucene_analysis as words
from limrank_plugins.retrievers.bm25q import BM25QRetriever
from limrank_plugins.retrievers.bm25s import BM25sRetriever
from limrank_plugins.retrievers.query_weighting import query_weights

LONG = "acid acid acid milk milk curdled in tea tea tea tea tea unknown words are not counted"


def weighted(passages: Sequence[str], query: str, k1: float = 0.9, b: float = 0.4) -> list[float]:
    """The inner product of two BM25 vectors in double precision, as gensim's model makes them."""
    counted = [Counter(terms(passage)) for passage in passages]
    known = Counter(term for term in terms(query) if any(term in counts for counts in counted))
    average = sum(sum(counts.values()) for counts in counted) / len(counted)

    def weight(term: str, counts: Counter[str]) -> float:
        within = sum(term in other for other in counted)
        idf = math.log(len(counted) + 1) - math.log(within + 0.5)
        times, length = counts[term], sum(counts.values())
        return idf * times / (times + k1 * (1 - b + b * length / average)) if times else 0.0

    return [sum(weight(term, known) * weight(term, counts) for term in known) for counts in counted]


@given(corpora, questions, st.floats(0, 3), st.floats(0, 1))
def test_scores_are_the_formulas(passages: list[str], query: str, k1: float, b: float):
    index = BM25sRetriever.build(passages, k1=k1, b=b, query_weighting="bm25")
    expected = weighted(passages, query, k1, b) if any(map(terms, passages)) else [0.0] * len(passages)
    hits = index.search(query)
    assert {hit.id for hit in hits} == {str(i) for i in ranked(expected)}
    for hit in hits:
        assert hit.prior == pytest.approx(expected[int(hit.id or "")], rel=1e-5)


def test_the_order_is_the_formulas_and_another_than_by_counts():
    index = BM25sRetriever.build(PASSAGES, query_weighting="bm25")
    for query in ("curdled milk in tea", LONG, "milk milk milk milk yeast"):
        assert [hit.id for hit in index.search(query)] == [str(i) for i in ranked(weighted(PASSAGES, query))]
    # Repetitions saturate: by counts, what is said four times outweighs the rarer word.
    repeated = "milk milk milk milk yeast"
    assert index.search(repeated)[0].id == "1"
    assert BM25sRetriever.build(PASSAGES).search(repeated)[0].id == "2"


def test_counting_stays_the_default():
    plain, told = BM25sRetriever.build(PASSAGES), BM25sRetriever.build(PASSAGES, query_weighting="count")
    assert plain.query_weighting == "count"
    assert plain.search(LONG) == told.search(LONG)


def test_words_that_no_document_has_do_not_make_the_query_longer():
    index = BM25sRetriever.build(PASSAGES, query_weighting="bm25")
    assert index.search("acid milk") == index.search("acid milk zebra xylophone quark")


def test_one_term_of_a_query():
    weights = query_weights(np.array([2, 1]), np.array([1, 3]), 10, 5.0, 0.9, 0.4)
    norm = 0.9 * (0.6 + 0.4 * 3 / 5)
    expected = [math.log(11 / 1.5) * 2 / (2 + norm), math.log(11 / 3.5) * 1 / (1 + norm)]
    assert weights == pytest.approx(expected)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_saved_index_keeps_it(tmp_path: Path, mmap: bool):
    index = BM25sRetriever.build(PASSAGES, k1=1.2, b=0.7, query_weighting="bm25")
    index.save(tmp_path / "index")
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert manifest["parameters"]["query_weighting"] == "bm25"
    loaded = load_retriever(tmp_path / "index", mmap=mmap)
    assert isinstance(loaded, BM25sRetriever)
    assert loaded.query_weighting == "bm25"
    assert loaded.search(LONG) == index.search(LONG)


def test_an_index_of_before_counts(tmp_path: Path):
    index = BM25sRetriever.build(PASSAGES)
    index.save(tmp_path / "index")
    file = tmp_path / "index" / "manifest.json"
    manifest = json.loads(file.read_text())
    for new in ("query_weighting", "average_length"):
        del manifest["parameters"][new]
    file.write_text(json.dumps(manifest))
    assert load_retriever(tmp_path / "index").search(LONG) == index.search(LONG)


@pytest.mark.parametrize(
    "change", [{"query_weighting": "tf"}, {"average_length": 0}, {"average_length": "long"}]
)
def test_a_manifest_that_cannot_be(tmp_path: Path, change: dict[str, object]):
    BM25sRetriever.build(PASSAGES, query_weighting="bm25").save(tmp_path / "index")
    file = tmp_path / "index" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["parameters"].update(change)
    file.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="corrupt"):
        load_retriever(tmp_path / "index")


def test_a_corpus_without_terms_is_saved_and_found_empty(tmp_path: Path):
    index = BM25sRetriever.build(["the", "?"], query_weighting="bm25")
    index.save(tmp_path / "index")
    assert load_retriever(tmp_path / "index").search("the acid") == index.search("acid") == []


def test_bright_has_its_own_name(tmp_path: Path):
    index = build_retriever("bm25q", PASSAGES, analysis="snowball")
    assert isinstance(index, BM25QRetriever)
    same = BM25sRetriever.build(PASSAGES, query_weighting="bm25")
    assert index.search(LONG) == same.search(LONG)
    index.save(tmp_path / "index")
    loaded = load_retriever(tmp_path / "index")
    assert isinstance(loaded, BM25QRetriever)
    assert loaded.search(LONG) == index.search(LONG)
    with pytest.raises(InputError, match="an index of kind 'bm25q', not 'bm25s'"):
        BM25sRetriever.load(tmp_path / "index")


def test_brights_words_are_lucenes(monkeypatch: pytest.MonkeyPatch):
    def absent(name: str) -> object:
        raise MissingExtra(f"{name} needs Java")

    monkeypatch.setattr(words, "java_class", absent)
    with pytest.raises(MissingExtra, match="needs Java; or do without Lucene's words: analysis='snowball'"):
        build_retriever("bm25q", PASSAGES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_weighting": "tf"}, "query_weighting must be one of count, bm25, but is 'tf'"),
        ({"analysis": "spacy"}, "analysis must be 'snowball' or 'lucene', but is 'spacy'"),
        ({"analysis": "lucene", "stemmer": None}, "Lucene's words have no options"),
    ],
)
def test_bad_options(options: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        build_retriever("bm25s", PASSAGES, **options)
