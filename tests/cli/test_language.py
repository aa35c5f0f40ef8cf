"""`--language` at every command that searches first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from limrank_command import limrank

from limrank_plugins.io import read_run

GERMAN = Path(__file__).parents[1] / "languages" / "german"
CORPUS = GERMAN / "corpus.jsonl"
ROOT = "eine Wurzel"
PRIOR = ("--recipe", "prior")


def ids(printed: str) -> list[str]:
    return [hit["id"] for hit in json.loads(printed)["hits"]]


def test_searching_in_the_corpus_s_language(tmp_path: Path) -> None:
    german = limrank(tmp_path, "search", CORPUS, ROOT, *PRIOR, "--json", "--language", "de")
    assert ids(german.stdout)[0] == "12"
    assert "indexing 36 documents with bm25s" in german.stderr
    found = limrank(tmp_path, "index", CORPUS, "--language", "auto", "--json")
    assert json.loads(found.stdout)["language"] == "german"
    assert "the corpus is in german" in found.stderr
    again = limrank(tmp_path, "search", CORPUS, ROOT, *PRIOR, "--json", "--language", "auto")
    assert ids(again.stdout) == ids(german.stdout)
    assert "the corpus is in german" in again.stderr
    assert "indexing" not in again.stderr
    answered = limrank(tmp_path, "ask", CORPUS, ROOT, *PRIOR, "--json", "--language", "german")
    assert [passage["id"] for passage in json.loads(answered.stdout)["passages"]][:1] == ["12"]


def test_reranking_what_is_found_in_the_language(tmp_path: Path) -> None:
    (tmp_path / "queries.tsv").write_text(f"q\t{ROOT}\n")
    files = ("--queries", "queries.tsv", "--corpus", CORPUS)
    for language in ("english", "german"):
        limrank(tmp_path, "rerank", *files, *PRIOR, "--language", language, "-o", f"{language}.trec")
    english, german = (read_run(tmp_path / f"{language}.trec")["q"] for language in ("english", "german"))
    assert "12" not in [candidate.document_id for candidate in english]
    assert [candidate.document_id for candidate in german] == ["12"]
    refused = limrank(
        tmp_path, "rerank", *files, *PRIOR, "--language", "de", "--run", "german.trec", "-o", "x.trec", code=2
    )
    assert "--language de is for a search, but --run names what was found" in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--language", "klingon"), "language 'klingon' is not known; known are amharic, arabic"),
        (("--language", "de", "--retriever", "dense"), "dense has no language to choose"),
    ],
)
def test_what_has_no_language_is_said(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    assert message in limrank(tmp_path, "search", CORPUS, ROOT, *PRIOR, *options, code=2).stderr


def test_a_language_without_a_stemmer_is_said_once(tmp_path: Path) -> None:
    said = "there is no Snowball stemmer for thai and no list of stop words"
    for times in (1, 0):
        done = limrank(tmp_path, "search", CORPUS, ROOT, *PRIOR, "--language", "thai")
        assert done.stderr.count(said) == times


def test_an_evaluation_in_the_language(tmp_path: Path) -> None:
    pytest.importorskip("ir_measures", reason="pip install 'limrank[evals]'")
    pytest.importorskip("scipy", reason="pip install 'limrank[evals]'")
    limrank(tmp_path, "eval", "folder", GERMAN, "--no-rerank", "--json", "--language", "de", "-o", "results")
    table = (tmp_path / "results" / "table.md").read_text("utf-8")
    assert "| bm25s (k1=0.9, b=0.4, language=german) | 95.91" in table
