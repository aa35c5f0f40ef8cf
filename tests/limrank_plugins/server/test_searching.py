"""Which corpora there are, and a query's candidates: what the first stage itself returns, within limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import TEXTS, judging, serving

from limrank_plugins import Document, samples
from limrank_plugins.cli.corpora import named_corpora, open_corpora
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import build_retriever
from limrank_plugins.server import ExampleQuery, Limits, ServedCorpus, build_app, sample_corpus

QUERY = "curdled milk in tea"
DOCUMENTS = [Document(text, id=f"d{place}", title="Tea" * (place == 1)) for place, text in enumerate(TEXTS)]
INDEX = build_retriever("bm25s", DOCUMENTS)
CORPORA = {"tea": ServedCorpus(INDEX, (ExampleQuery("lumpy milk", {"d1": 2}),)), "other": ServedCorpus(INDEX)}


def test_a_search_is_the_first_stages():
    with serving(judging(), corpora=CORPORA) as service:
        answered = service.client.post("/search", json={"query": QUERY, "corpus": "other"}).json()
        default = service.client.post("/search", json={"query": QUERY, "depth": 1}).json()
    found = INDEX.search(QUERY)
    assert answered == {
        "corpus": "other",
        "candidates": [
            {
                "id": document.id,
                "title": document.title,
                "text": document.text,
                "passage": document.passage,
                "score": document.prior,
            }
            for document in found
        ],
    }
    assert answered["candidates"][0]["passage"] == "Tea Acid curdles milk."
    assert (default["corpus"], len(default["candidates"])) == ("tea", 1)


def test_corpora_are_listed_with_queries_to_try():
    with serving(judging(), corpora=CORPORA) as service:
        listed = service.client.get("/corpora").json()["data"]
    assert listed == [
        {
            "id": "tea",
            "documents": 3,
            "retriever": "bm25s",
            "examples": [{"query": "lumpy milk", "grades": {"d1": 2}}],
        },
        {"id": "other", "documents": 3, "retriever": "bm25s", "examples": []},
    ]


def test_what_cannot_be_searched_is_refused_in_a_sentence():
    with serving(judging(), corpora=CORPORA, limits=Limits(documents=5, query_characters=9)) as service:
        for body, status, said in (
            ({"query": " "}, 422, "query is empty"),
            ({"query": "milk", "corpus": "x"}, 404, "there is no corpus 'x' here; there are: tea, other"),
            ({"query": "milk", "depth": 6}, 413, "depth is too high: at most 5 are accepted, but got 6"),
            ({"query": "milk", "depth": 0}, 422, "depth: "),
            ({"query": "much too long"}, 413, "query is too long"),
            ({"query": "milk", "k": 3}, 422, "k: "),
            ([], 422, "the body must be a JSON object"),
        ):
            answered = service.client.post("/search", json=body)
            assert (answered.status_code, said in answered.json()["detail"]) == (status, True), answered.text
        half = service.client.post(
            "/search", content=b'{"query": "milk \\ud83d"}', headers={"Content-Type": "application/json"}
        )
        assert half.status_code == 200
    with serving(judging()) as service:
        answered = service.client.post("/search", json={"query": "milk"})
        assert answered.status_code == 404
        assert "start the server with --corpus" in answered.json()["detail"]
    with pytest.raises(InputError, match="a corpus's name is empty"):
        build_app({"m": judging()}, corpora={" ": CORPORA["tea"]})


def test_the_sample_collection_has_its_queries_and_grades():
    corpus = sample_corpus()
    assert len(corpus.retriever) == len(samples.documents())
    assert [example.text for example in corpus.examples] == [query.text for query in samples.queries()]
    first = samples.queries()[0]
    assert corpus.examples[0].grades == samples.qrels()[first.id]


def test_corpora_and_saved_indexes_are_named_on_the_command_line(tmp_path: Path):
    INDEX.save(tmp_path / "index")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note.txt").write_text("Milk.", encoding="utf-8")
    opened = open_corpora(named_corpora([f"a={tmp_path / 'index'}", str(tmp_path / "folder")]), "bm25s")
    assert [(name, len(index)) for name, index in opened.items()] == [
        ("a", 3), ("folder", 1), ("samples", len(samples.documents())),
    ]  # fmt: skip
    own = open_corpora(named_corpora([f"samples={tmp_path / 'folder'}"]), "bm25s")
    assert [(name, len(index)) for name, index in own.items()] == [("samples", 1)]
    for wrong, said in (
        (["=a"], "--corpus must be written CORPUS or NAME=CORPUS"),
        (["a=nowhere"], "there is no corpus 'nowhere'"),
        (["a=samples", "a=samples"], "two corpora are called 'a'"),
    ):
        with pytest.raises(InputError, match=said):
            named_corpora(wrong)
