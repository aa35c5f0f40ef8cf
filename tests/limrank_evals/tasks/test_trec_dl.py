"""TREC Deep Learning, on folders with the files of MS MARCO, NIST, pyserini and ir_datasets."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import pytest
from benchmark_layouts import put_lines, put_text

from limrank_evals.measures import measure, parse_measure
from limrank_evals.tasks.trec_dl import TREC_DL, TREC_DL_MEASURES, load_trec_dl
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError

TOPICS = "7\twhat is tea\n8\tnot judged\n9\twhy\tmilk\n"
QRELS = "7 0 p1 3\n7 0 p2 1\n9 0 p3 2\n9 0 p1 0\n"
PASSAGES = {"p1": "tea is leaves", "p2": "tea and 'milk'", "p3": "milk curdles\u0085", "p4": "bread"}


def v1(folder: Path, topics: str = "topics.dl19-passage.txt", qrels: str = "qrels.dl19-passage.txt") -> Path:
    put_text(folder / topics, TOPICS)
    put_text(folder / qrels, QRELS)
    put_text(folder / "collection.tsv", "".join(f"{name}\t{text}\n" for name, text in PASSAGES.items()))
    return folder


def counted(monkeypatch: pytest.MonkeyPatch, track: str, queries: int, passages: int) -> None:
    known = dataclasses.replace(TREC_DL[track], queries=queries, passages=passages)
    monkeypatch.setitem(TREC_DL, track, known)


@pytest.mark.parametrize(
    ("topics", "qrels"),
    [
        ("topics.dl19-passage.txt", "qrels.dl19-passage.txt"),
        ("msmarco-test2019-queries.tsv", "2019qrels-pass.txt"),
        ("trec-dl-2019/queries.tsv", "trec-dl-2019/qrels"),
        ("queries.tsv", "qrels.trec"),
    ],
)
def test_names_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topics: str, qrels: str):
    counted(monkeypatch, "dl19", 2, 4)
    found = load_trec_dl("dl19", v1(tmp_path, topics, qrels))
    benchmark = found
    assert (benchmark.name, benchmark.split, benchmark.variant) == ("TREC DL", "dl19", Path(qrels).name)
    assert benchmark.queries == (Query("what is tea", "7"), Query("why\tmilk", "9"))
    assert benchmark.documents == tuple(Document(text, name) for name, text in PASSAGES.items())
    assert benchmark.qrels == {"7": {"p1": 3, "p2": 1}, "9": {"p3": 2, "p1": 0}}
    assert found.candidates == {}
    assert benchmark.checked() == ()


def test_the_second_version_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    counted(monkeypatch, "dl21", 2, 4)
    folder = v1(tmp_path, "2021_queries.tsv", "2021.qrels.pass.final.txt")
    (folder / "collection.tsv").unlink()
    for number, piece in enumerate((["p1", "p2"], ["p3", "p4"])):
        text = "".join(f'{{"pid": "{p}", "passage": "{PASSAGES[p]}", "docid": "x"}}\n' for p in piece)
        file = folder / "msmarco_v2_passage" / f"msmarco_passage_{number:02}.gz"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()))
    documents = load_trec_dl("dl21", folder).documents
    assert [(d.id, d.text) for d in documents] == list(PASSAGES.items())
    # BEIR's layout in its place
    for file in (folder / "msmarco_v2_passage").iterdir():
        file.unlink()
    put_lines(folder / "corpus.jsonl", [{"_id": p, "text": text} for p, text in PASSAGES.items()])
    assert load_trec_dl("dl21", folder).documents == documents


def test_a_runs_lists_and_only_the_passages_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    counted(monkeypatch, "dl19", 2, 8_841_823)
    run = put_text(tmp_path / "bm25.run", "7 Q0 p2 1 3.5 x\n7 Q0 p1 2 2.5 x\n8 Q0 p4 1 9 x\n9 Q0 p3 1 1 x\n")
    found = load_trec_dl("dl19", v1(tmp_path), run=run)
    assert found.candidates == {"7": ["p2", "p1"], "9": ["p3"]}
    assert found.are_ranked
    assert [document.id for document in found.documents] == ["p1", "p2", "p3"]
    put_text(run, "8 Q0 p4 1 9 x\n")
    with pytest.raises(
        InputError, match=r"bm25\.run has no list for any of the 2 queries: it is of another set"
    ):
        load_trec_dl("dl19", tmp_path, run=run)
    put_text(run, "7 Q0 nowhere 1 3.5 x\n")
    with pytest.raises(
        InputError, match="1 document listed for query '7' is not in the corpus, for example 'no"
    ):
        load_trec_dl("dl19", tmp_path, run=run)


def test_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert {name: known.queries for name, known in TREC_DL.items()} == {
        "dl19": 43,
        "dl20": 54,
        "dl21": 53,
        "dl22": 76,
    }
    folder = v1(tmp_path)
    with pytest.raises(InputError, match="TREC dl19, judged queries: 2, but 43 were published"):
        load_trec_dl("dl19", folder)
    counted(monkeypatch, "dl19", 2, 8_841_823)
    with pytest.raises(InputError, match="TREC dl19, passages: 4, but 8,841,823 were published"):
        load_trec_dl("dl19", folder)
    (told,) = load_trec_dl("dl19", folder, strict=False).checked()
    assert "4, but 8,841,823" in told


def test_related_is_not_relevant(tmp_path: Path):
    qrels = load_trec_dl("dl19", v1(tmp_path), strict=False).qrels
    for name in TREC_DL_MEASURES:
        parse_measure(name)
    ranked = {"7": ["p2", "p1"], "9": ["p3"]}
    means = measure(ranked, qrels, ["RR(rel=2)@10", "RR@10"]).means
    assert means == {"RR(rel=2)@10": 0.75, "RR@10": 1.0}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("collection.tsv", "p1\ta\np2 b\n", r"collection\.tsv, line 2: expected an id, a tab and a text"),
        ("topics.dl19-passage.txt", "7 what\n", r"topics\.dl19-passage\.txt, line 1: expected an id, a tab"),
        ("qrels.dl19-passage.txt", "7 0 p1 yes\n", r"qrels\.dl19-passage\.txt, line 1: the grade must be"),
        ("qrels.dl19-passage.txt", "", "holds no judgements"),
        ("collection.tsv", "p1\ta\np1\tb\n", "these repeat: 'p1'"),
    ],
)
def test_wrong_lines(tmp_path: Path, name: str, text: str, told: str):
    put_text(v1(tmp_path) / name, text)
    with pytest.raises(InputError, match=told):
        load_trec_dl("dl19", tmp_path, strict=False)


@pytest.mark.parametrize("line", ['{"pid": 3, "passage": "x"}', '{"pid": "p1"}', "[]", "{"])
def test_wrong_objects(tmp_path: Path, line: str):
    (v1(tmp_path) / "collection.tsv").unlink()
    put_text(tmp_path / "corpus.jsonl", line + "\n")
    with pytest.raises(
        InputError,
        match=r"corpus\.jsonl, line 1: (expected 'pid' and 'passage'|not JSON|expected a JSON object)",
    ):
        load_trec_dl("dl19", tmp_path, strict=False)


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="no TREC DL track 'dl18'; there are dl19, dl20, dl21, dl22"):
        load_trec_dl("dl18", tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        load_trec_dl("dl19", tmp_path / "none")
    (v1(tmp_path) / "collection.tsv").unlink()
    with pytest.raises(InputError, match=r"holds none of collection\.tsv, corpus\.jsonl \(or \.gz\)"):
        load_trec_dl("dl19", tmp_path, strict=False)
    with pytest.raises(
        InputError, match=r"holds none of 2022\.qrels\.pass\.withDupes\.txt, qrels\.dl22-passage"
    ):
        load_trec_dl("dl22", tmp_path)
