"""The folder of a saved index where a corpus is wanted: opened as what it is, never read as texts."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from limrank_plugins.corpus import (
    Corpus,
    all_documents,
    corpus_files,
    corpus_fingerprint,
    read_corpus,
    whole_where_named,
)
from limrank_plugins.corpus_index import open_index, open_saved
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError, LimRankWarning
from limrank_plugins.index_folders import is_index
from limrank_plugins.retrievers import build_retriever
from limrank_plugins.retrievers.folder import DOCUMENTS, OFFSETS

DOCUMENTS_OF = [
    Document("Acid curdles milk.", "a", "Milk", meta={"file": "a.txt"}),
    Document("Bread rises.", "b"),
]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "idx"
    build_retriever("bm25s", DOCUMENTS_OF, language="german").save(folder)
    return folder


def test_its_documents_are_those_that_were_indexed(index: Path):
    assert all_documents(str(index)) == DOCUMENTS_OF
    assert [file.name for file in corpus_files(str(index))] == ["manifest.json", DOCUMENTS]
    corpus = Corpus(str(index))
    assert whole_where_named(corpus, {"a"}) is corpus
    before = corpus_fingerprint(corpus)
    build_retriever("bm25s", DOCUMENTS_OF[:1]).save(index)
    assert corpus_fingerprint(corpus) != before


def test_it_is_opened_as_it_is(index: Path):
    assert [hit.id for hit in open_index(str(index), "bm25s").search("milk")] == ["a"]
    for language in (None, "auto", "german", "de"):
        assert open_saved(str(index), "bm25s", language).language == "german"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"is an index of bm25s, but the retriever is 'rank_bm25': leave"):
        open_index(str(index), "rank_bm25")
    with pytest.raises(InputError, match="holds words of german, but french was asked for"):
        open_index(str(index), "bm25s", language="french")
    with pytest.raises(InputError, match="is an index already: `limrank search` searches it"):
        open_index(str(index), "bm25s", folder=index.with_name("other"))


@pytest.mark.parametrize("option", ["field", "title_field", "passages"])
def test_how_its_texts_are_read_can_no_longer_be_said(index: Path, option: str):
    corpus = Corpus(str(index), **{option: "whole"})
    said = rf"is an index, and its texts are as .* but the {option.replace('_', ' ')} is 'whole'"
    for use in (lambda: open_index(corpus, "bm25s"), lambda: list(read_corpus(corpus))):
        with pytest.raises(InputError, match=said):
            use()


def test_a_damaged_one_is_still_no_folder_of_texts(index: Path):
    (index / OFFSETS).unlink()
    assert is_index(index)
    with pytest.raises(InputError, match="is missing; build the index again"):
        list(read_corpus(str(index)))


def test_a_folder_of_texts_with_a_file_of_that_name_is_one(tmp_path: Path):
    for content in ('{"name": "my app", "kind": "web"}', "no JSON", "[]"):
        (tmp_path / "manifest.json").write_text(content)
        assert not is_index(tmp_path)
    assert not is_index("\0")
    assert not is_index(tmp_path / "gone")


def test_one_among_texts_is_left_out(index: Path):
    (index.parent / "a.txt").write_text("tea")
    with pytest.warns(LimRankWarning, match=r"1 of 2 files .*: idx is the folder of an index, not of texts"):
        assert [document.id for document in read_corpus(str(index.parent))] == ["a.txt"]


def test_indexes_that_no_corpus_has_name_what_reads_them(tmp_path: Path):
    hybrid = pytest.importorskip("limrank_pipelines").HybridRetriever
    hybrid.build(DOCUMENTS_OF, parts=("bm25s", "rank_bm25")).save(tmp_path / "hybrid")
    with pytest.raises(InputError, match=r"is for limrank_pipelines\.HybridRetriever\.load"):
        list(read_corpus(str(tmp_path / "hybrid")))
    (tmp_path / "tilde").mkdir()
    for name in ("manifest.json", "indptr.npy"):
        (tmp_path / "tilde" / name).write_text("{}")
    with pytest.raises(InputError, match="is for `limrank rerank --recipe tildev2 --option index="):
        list(read_corpus(str(tmp_path / "tilde")))
    (tmp_path / "a.txt").write_text("tea")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [document.id for document in read_corpus(str(tmp_path))] == ["a.txt"]
