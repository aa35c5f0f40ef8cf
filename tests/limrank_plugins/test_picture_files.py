"""Pictures in collections: read from files beside them, kept in indexes, told apart in journals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limrank_plugins import Document, Query, Reranker, ScriptedBackend
from limrank_plugins.cli import build_app
from limrank_plugins.corpus import corpus_fingerprint, run_candidates
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.ranking_job import _item
from limrank_plugins.retrievers import build_retriever, load_retriever

PNG = b"\x89PNG\r\n\x1a\n" + b"red"
GIF = b"GIF89a" + b"greener"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "one.png").write_bytes(PNG)
    (tmp_path / "two.gif").write_bytes(GIF)
    rows = [
        {"_id": "a", "text": "acid curdles milk", "images": ["pages/one.png", "two.gif"], "k": 1},
        {"_id": "b", "text": "milk is white"},
        {"_id": "c", "text": "milk", "images": []},
    ]
    write(tmp_path / "corpus.jsonl", rows)
    return tmp_path


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def test_documents_and_queries_bring_their_pictures(folder: Path):
    a, b, c = read_documents(folder / "corpus.jsonl")
    assert a.images == (Image(PNG), Image(GIF))
    assert a.meta == {"k": 1}
    assert (b.images, c.images) == ((), ())
    file = write(folder / "queries.jsonl", [{"_id": "q", "text": "why", "images": ["two.gif"]}])
    assert read_queries(file) == [Query("why", "q", images=(Image(GIF),))]


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (["gone.png"], "line 2: the image .*gone.png' cannot be read: No such file"),
        (["corpus.jsonl"], "line 2: .*must be PNG"),
        ("two.gif", "line 2: 'images' must be a list"),
        ([1], "line 2: 'images' must be a list"),
        (["../two.gif"], "line 2: the image '../two.gif' must be in the folder"),
        (["pages/../../two.gif"], "must be in the folder"),
        (["/etc/two.gif"], "must be in the folder"),
        (
            ["https://me:pw@h/p.png?key=s"],
            "line 2: the image 'https://h/p.png' is an address, which is not fet",
        ),
        (["s3://bucket/p.png"], "is an address, which is not fetched: download it, and name the file"),
        (["data:image/png;base64,iVBORw0KGgo="], "is an address, which is not fetched: download it"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder: Path, images: object, match: str):
    file = write(
        folder / "bad.jsonl", [{"_id": "x", "text": "x"}, {"_id": "y", "text": "y", "images": images}]
    )
    with pytest.raises(InputError, match=match):
        list(read_documents(file))
    with pytest.raises(InputError, match=match):
        read_queries(file)


@pytest.mark.parametrize("mmap", [False, True])
def test_an_index_keeps_pictures(folder: Path, mmap: bool):
    index = build_retriever("bm25s", read_documents(folder / "corpus.jsonl"))
    index.save(folder / "index")
    found = load_retriever(folder / "index", mmap=mmap).search("curdles", 1)
    assert found[0].images == (Image(PNG), Image(GIF))
    assert index.search("curdles", 1) == found


def test_a_damaged_picture_in_an_index_is_told(folder: Path):
    build_retriever("bm25s", read_documents(folder / "corpus.jsonl")).save(folder / "index")
    file = folder / "index" / "documents.jsonl"
    file.write_bytes(file.read_bytes().replace(b"iVBOR", b"AAAAA"))
    with pytest.raises(InputError, match="corrupt"):
        load_retriever(folder / "index").search("curdles", 1)


def test_a_changed_picture_is_a_changed_corpus(folder: Path):
    before = corpus_fingerprint(str(folder / "corpus.jsonl"))
    assert before == corpus_fingerprint(str(folder))
    (folder / "two.gif").write_bytes(GIF + b"still")
    assert corpus_fingerprint(str(folder)) != before


def test_a_journal_tells_pictures_apart():
    texts = [Document("x", id="1"), Document("y", id="2")]
    seen = [Document("x", id="1", images=(Image(PNG),)), texts[1]]
    other = [Document("x", id="1", images=(Image(GIF),)), texts[1]]
    moved = [texts[0], Document("y", id="2", images=(Image(PNG),))]
    asking = Query("q", "1", images=(Image(PNG),))
    items = {_item(Query("q", "1"), d) for d in (texts, seen, other, moved)} | {_item(asking, texts)}
    assert len(items) == 5


def test_candidates_of_a_run_keep_their_pictures(folder: Path):
    run = folder / "run.trec"
    run.write_text("q Q0 a 1 2.5 x\nq Q0 b 2 1.5 x\n", "ascii")
    (found,) = run_candidates(run, [Query("why", "q")], str(folder), 10)
    assert [(d.id, d.prior, len(d.images)) for d in found] == [("a", 2.5, 2), ("b", 1.5, 0)]


def test_the_command_line_ranks_pictures_and_says_who_cannot_see_them(folder: Path):
    asked = write(folder / "queries.jsonl", [{"_id": "q", "text": "curdles milk"}])
    out = folder / "run.jsonl"
    given = [
        "rerank",
        "-q",
        str(asked),
        "-c",
        str(folder),
        "-o",
        str(out),
        "--store",
        str(folder / "s.sqlite"),
    ]
    result = CliRunner().invoke(build_app(), [*given, "--recipe", "prior"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(build_app(), [*given, "--recipe", "mini"])
    assert result.exit_code == 1, result.output  # a document failed
    (record,) = (json.loads(line) for line in out.read_text("utf-8").splitlines())
    assert [failure["id"] for failure in record["failures"]] == ["a"]
    assert "cannot see" in record["failures"][0]["reason"]


def test_the_store_tells_pictures_apart(tmp_path: Path):
    from limrank_plugins import Store

    def encode(text: str, role: str, images: tuple[Image, ...] = ()) -> list[float]:
        return [1.0, float(len(images)), float(sum(len(image.data) for image in images))]

    documents = [Document("x"), Document("x", images=(Image(PNG),)), Document("x", images=(Image(GIF),))]
    with Store(tmp_path / "s.sqlite") as store:
        backend = ScriptedBackend(encode=encode)
        made = Reranker("mini", backend=backend, store=store)
        first = made.rank("q", documents)
        asked = len(backend.requests)
        again = made.rank("q", documents)
    assert len({hit.score for hit in first}) == 3
    assert [hit.score for hit in again] == [hit.score for hit in first]
    assert len(backend.requests) == asked == 4
