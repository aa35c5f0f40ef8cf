"""The adapter of rank_bm25: equal to bm25s with the same idf, and without the library's traps."""

from __future__ import annotations

import math

import pytest
from bm25_reference import PASSAGES, corpora, questions, terms
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.retrievers.bm25s import BM25sRetriever

library = pytest.importorskip("rank_bm25", reason="rank-bm25 is not installed")

from limrank_plugins.retrievers.rank_bm25 import RankBM25Retriever  # noqa: E402


@given(corpora, questions, st.floats(0, 3), st.floats(0, 1))
def test_scores_are_k1_plus_1_times_those_of_bm25s(
    passages: list[str], query: str, k1: float, b: float
) -> None:
    theirs = {hit.id: hit.prior for hit in BM25sRetriever.build(passages, k1=k1, b=b).search(query)}
    ours = {hit.id: hit.prior for hit in RankBM25Retriever.build(passages, k1=k1, b=b).search(query)}
    assert ours == pytest.approx({i: (p or 0) * (k1 + 1) for i, p in theirs.items()}, rel=1e-5)


@given(corpora, questions)
def test_okapi_is_the_librarys_score_where_that_is_not_negative(passages: list[str], query: str) -> None:
    tokenised = [terms(passage) for passage in passages]
    if not any(tokenised):
        return
    plain = library.BM25Okapi(tokenised, k1=1.5, b=0.75)
    asked = terms(query)
    if any(plain.idf.get(term, 0) < 0 for term in asked):
        return
    expected = plain.get_scores(asked)
    hits = RankBM25Retriever.build(passages, k1=1.5, b=0.75, idf="okapi").search(query)
    matching = {str(i) for i, words in enumerate(tokenised) if set(words) & set(asked)}
    assert {hit.id for hit in hits} == matching
    for hit in hits:
        assert hit.prior == pytest.approx(expected[int(hit.id or "")])


@pytest.mark.parametrize("idf", ["lucene", "okapi"])
def test_the_only_document_without_the_word_is_not_first(idf: str) -> None:
    passages = ["acid", "acid", "the"]
    scores = library.BM25Okapi([terms(passage) for passage in passages]).get_scores(["acid"])
    assert scores[0] < scores[2], "the library's trap is gone"
    hits = RankBM25Retriever.build(passages, idf=idf).search("acid")
    assert [hit.id for hit in hits] == ["0", "1"]
    assert all(hit.prior is not None and hit.prior >= 0 for hit in hits)


def test_lucenes_idf_is_put_in() -> None:
    index = RankBM25Retriever.build(["acid milk", "acid", "tea"], k1=0.0)
    (first, second) = index.search("acid")
    assert first.prior == second.prior == pytest.approx(math.log(1 + 1.5 / 2.5))


def test_equal_scores_stay_in_corpus_order() -> None:
    index = RankBM25Retriever.build(["bread", *["acid milk"] * 50])
    assert [hit.id for hit in index.search("acid", 3)] == ["1", "2", "3"]


def test_a_string_is_a_query_not_a_list_of_letters() -> None:
    index = RankBM25Retriever.build(["a c i d", "acid"], token_pattern=r"(?u)\b\w+\b")
    assert [hit.id for hit in index.search("acid")] == ["1"]


@pytest.mark.parametrize("passages", [[""], ["the", "a"]])
def test_a_corpus_without_terms_finds_nothing(passages: list[str]) -> None:
    assert RankBM25Retriever.build(passages).search("acid the") == []


def test_bad_input() -> None:
    with pytest.raises(InputError, match="the corpus is empty"):
        RankBM25Retriever.build([])
    with pytest.raises(InputError, match="idf must be 'lucene' or 'okapi', but got 'x'"):
        RankBM25Retriever.build(PASSAGES, idf="x")
    with pytest.raises(InputError, match="k1 must be"):
        RankBM25Retriever.build(PASSAGES, k1=-1)
    with pytest.raises(InputError, match="k must be"):
        RankBM25Retriever.build(PASSAGES).search("acid", 0)


def test_many_queries_are_each_one() -> None:
    index = RankBM25Retriever.build(PASSAGES)
    assert index.search_many(["acid", "zebra"], 2) == [index.search("acid", 2), []]
    assert len(index) == len(PASSAGES)


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rank_bm25", None)
    with pytest.raises(MissingExtra, match=r"needs rank_bm25.*pip install 'limrank\[rank-bm25\]'"):
        RankBM25Retriever.build(PASSAGES)
