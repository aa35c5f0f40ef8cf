"""BM25 by bm25s equals the formula written out, and does what the library alone does not."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import bm25s
import numpy as np
import pytest
import Stemmer
from bm25_reference import PASSAGES, corpora, lucene_scores, questions, ranked, terms, texts
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers.analysis import Analyzer
from limrank_plugins.retrievers.bm25s import BM25sRetriever


@given(corpora, questions, st.floats(0, 3), st.floats(0, 1))
def test_scores_are_lucenes_formula(passages: list[str], query: str, k1: float, b: float) -> None:
    hits = BM25sRetriever.build(passages, k1=k1, b=b).search(query)
    expected = lucene_scores(passages, query, k1, b)
    assert {hit.id for hit in hits} == {str(i) for i in ranked(expected)}
    for hit in hits:
        assert hit.prior == pytest.approx(expected[int(hit.id or "")], rel=1e-5)
    priors = [hit.prior for hit in hits]
    assert priors == sorted(priors, reverse=True)


def test_the_order_is_the_formulas() -> None:
    index = BM25sRetriever.build(PASSAGES)
    for query in ("curdled milk in tea", "why does bread rise", "acid", "lemon lemon milk"):
        expected = [str(i) for i in ranked(lucene_scores(PASSAGES, query))]
        assert [hit.id for hit in index.search(query)] == expected


ASCII = st.text(st.characters(codec="ascii"), max_size=60)


@given(st.lists(ASCII | texts, min_size=1, max_size=5))
def test_terms_are_those_of_the_library(passages: list[str]) -> None:
    analyzer = Analyzer()
    stemmer = Stemmer.Stemmer("english")
    theirs = bm25s.tokenize(passages, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
    assert [analyzer.terms(passage) for passage in passages] == theirs
    vocabulary: dict[str, int] = {}
    numbers = analyzer.numbering(vocabulary)
    numbered = [numbers(passage) for passage in passages]
    words = {number: term for term, number in vocabulary.items()}
    assert [[words[n] for n in document] for document in numbered] == theirs


def test_terms_written_down_a_second_time() -> None:
    assert Analyzer().terms("The C-3PO’s running, RUNNING to 2nd élan!") == terms(
        "The C-3PO’s running, RUNNING to 2nd élan!"
    )


@given(corpora, questions, st.randoms(use_true_random=False))
def test_the_order_of_the_corpus_decides_ties_only(
    passages: list[str], query: str, chance: random.Random
) -> None:
    documents = [Document(passage, id=f"d{i}") for i, passage in enumerate(passages)]
    shuffled = documents[:]
    chance.shuffle(shuffled)
    one = BM25sRetriever.build(documents).search(query)
    other = BM25sRetriever.build(shuffled).search(query)
    assert {hit.id: hit.prior for hit in one} == {hit.id: hit.prior for hit in other}
    for hits, corpus in ((one, documents), (other, shuffled)):
        position = {document.id: i for i, document in enumerate(corpus)}
        keys = [(-(hit.prior or 0.0), position[hit.id]) for hit in hits]
        assert keys == sorted(keys)


@given(corpora, questions, st.integers(1, 20))
def test_k_cuts_and_changes_nothing_else(passages: list[str], query: str, k: int) -> None:
    index = BM25sRetriever.build(passages)
    whole = index.search(query, 10**9)
    assert index.search(query, k) == whole[:k]
    assert len(whole) <= len(index) == len(passages)


def test_equal_scores_stay_in_corpus_order_across_the_cut() -> None:
    index = BM25sRetriever.build(["bread", *["acid milk"] * 500, "milk acid acid"])
    assert [hit.id for hit in index.search("acid", 4)] == ["501", "1", "2", "3"]


def test_a_document_comes_back_as_it_was_indexed() -> None:
    meta = {"page": 7, "tags": ["a", "b"]}
    given_ = Document("curdles milk", id="x", title="Acid", prior=99.0, meta=meta)
    index = BM25sRetriever.build([given_, "bread"])
    (hit,) = index.search("acid")
    assert (hit.id, hit.title, hit.text, hit.meta) == ("x", "Acid", "curdles milk", meta)
    assert hit.prior is not None
    assert 0 < hit.prior < 5
    assert given_.prior == 99.0


@pytest.mark.parametrize("query", ["zebra", "the", "C", "?!", "\ud800"])
def test_what_matches_nothing_finds_nothing(query: str) -> None:
    assert BM25sRetriever.build(PASSAGES).search(query) == []


@pytest.mark.parametrize("passages", [[""], ["the", "a", "?"], ["C", "R"]])
def test_a_corpus_without_terms_finds_nothing(passages: list[str]) -> None:
    assert BM25sRetriever.build(passages).search("the C acid") == []


def test_words_of_one_letter_are_a_choice() -> None:
    passages = ["programs in C", "programs in R"]
    assert BM25sRetriever.build(passages).search("C") == []
    index = BM25sRetriever.build(passages, token_pattern=r"(?u)\b\w+\b")
    assert [hit.id for hit in index.search("c")] == ["0"]


def test_another_language_is_for_documents_and_queries_alike() -> None:
    index = BM25sRetriever.build(["die Katzen und der Hund", "the und"], stopwords="german", stemmer="german")
    assert [hit.id for hit in index.search("die Katze und")] == ["0"]
    assert [hit.id for hit in index.search("the")] == ["1"]
    bare = BM25sRetriever.build(["cats", "the cat"], stopwords=None, stemmer=None)
    assert [hit.id for hit in bare.search("the cats")] != []
    assert [hit.id for hit in bare.search("cat")] == ["1"]
    own = BM25sRetriever.build(["Cats purr", "cats"], stopwords=["CATS"])
    assert [hit.id for hit in own.search("cats purr")] == ["0"]


def test_long_and_broken_texts() -> None:
    long = " ".join(f"word{i}" for i in range(12_000))
    assert len(long) > 100_000
    index = BM25sRetriever.build([long, "a \ud800 lone surrogate", "milk"])
    assert [hit.id for hit in index.search(long)] == ["0"]
    (hit,) = index.search("surrogate")
    hit.text.encode("utf-8")


def test_the_instruction_is_not_searched_for() -> None:
    index = BM25sRetriever.build(PASSAGES)
    assert index.search(Query("acid", instruction="nothing about bread")) == index.search("acid")


def test_many_queries_are_each_one() -> None:
    index = BM25sRetriever.build(PASSAGES)
    queries = ["acid", "milk in tea", "zebra"]
    assert index.search_many(queries, 2) == [index.search(query, 2) for query in queries]


def test_threads_get_what_one_gets() -> None:
    index = BM25sRetriever.build(PASSAGES)
    queries = ["acids curdling", "bread rising", "carved valleys"] * 100
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(index.search, queries)) == [index.search(query) for query in queries]


@pytest.mark.parametrize("k", [0, -1, float("nan"), 1.5, True, np.bool_(True), "3", None])
def test_bad_k(k: object) -> None:
    with pytest.raises(InputError, match="k must be a whole number > 0, but got"):
        BM25sRetriever.build(PASSAGES).search("acid", k)  # type: ignore[arg-type]


def test_a_k_of_numpy_is_a_number() -> None:
    assert len(BM25sRetriever.build(PASSAGES).search("milk", np.int64(2))) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("query", ["", "  \n"])
def test_empty_query(query: str) -> None:
    with pytest.raises(InputError, match="the query is empty"):
        BM25sRetriever.build(PASSAGES).search(query)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "the corpus is empty"),
        ("acid", "documents must be a list"),
        ([Document("a", id="x"), Document("b", id="x")], "these repeat: 'x'"),
        ([3], "document 0 must be str or Document"),
        ([Document("a", id="\ud800")], "lone surrogate"),
    ],
)
def test_bad_corpus(documents: list[Document], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BM25sRetriever.build(documents)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": -1}, "k1 must be"),
        ({"k1": float("nan")}, "k1 must be"),
        ({"b": 1.1}, r"b must be in \[0, 1\]"),
        ({"b": float("nan")}, "b must be"),
        ({"stopwords": "klingon"}, "no stop words for 'klingon'"),
        ({"stemmer": "klingon"}, "no stemmer 'klingon'"),
        ({"token_pattern": "("}, "not a regular expression"),
        ({"token_pattern": r"(\w+)"}, "no groups"),
        ({"stopwords": [3]}, "list of words"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BM25sRetriever.build(PASSAGES, **options)  # type: ignore[arg-type]


def test_the_library_does_not_turn_its_logger_on() -> None:
    code = (
        "import logging, limrank_plugins.retrievers as r; r.build_retriever('bm25s', ['acid']);"
        "assert logging.getLogger('bm25s').level == logging.NOTSET, logging.getLogger('bm25s').level"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_level_that_was_chosen_stays() -> None:
    logger = logging.getLogger("bm25s")
    before = logger.level
    try:
        logger.setLevel(logging.ERROR)
        BM25sRetriever.build(PASSAGES).search("acid")
        assert logger.level == logging.ERROR
    finally:
        logger.setLevel(before)
