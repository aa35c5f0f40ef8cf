"""Rankify's pre-retrieved lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_layouts import put_lines, put_text

from limrank_evals.measures import measure
from limrank_evals.tasks.rankify import load_rankify
from limrank_plugins.data import Document
from limrank_plugins.errors import BackendError, InputError


def passage(name: int | str, right: Any, text: str | None = None, title: str | None = "T") -> dict[str, Any]:
    told = {} if text is None else {"text": text, "title": title}
    return {"id": name, "score": 3.5, "has_answer": right, **told}


def entries() -> list[dict[str, Any]]:
    return [
        {
            "question": "who sang it",
            "answers": ["A"],
            "ctxs": [passage(7, False, "no"), passage(5, True, "A sang")],
        },
        {"question": "and then?", "answers": [], "query_id": "t2", "ctxs": [passage(7, False, "no")]},
    ]


def put(folder: Path, rows: list[dict[str, Any]], name: str = "bm25/nq-test.json") -> Path:
    return put_text(folder / name, json.dumps(rows, indent=1))


def test_a_file_and_a_folder_of_files(tmp_path: Path):
    file = put(tmp_path, entries())
    found = load_rankify(tmp_path, "nq-test")
    benchmark = found
    assert (benchmark.name, benchmark.split, benchmark.variant) == ("Rankify", "nq-test", "has_answer")
    assert [(query.id, query.text) for query in benchmark.queries] == [
        ("q1", "who sang it"),
        ("t2", "and then?"),
    ]
    assert benchmark.documents == (Document("no", "7", "T"), Document("A sang", "5", "T"))
    assert benchmark.qrels == {"q1": {"7": 0, "5": 1}, "t2": {"7": 0}}
    assert found.candidates == {"q1": ["7", "5"], "t2": ["7"]}
    assert found.are_ranked
    assert load_rankify(file) == found
    lines = put_lines(tmp_path / "nq-test.jsonl", entries())
    assert load_rankify(lines) == found
    renamed = [{**row, "contexts": row["ctxs"]} for row in entries()]
    for row in renamed:
        del row["ctxs"]
    assert load_rankify(put(tmp_path, renamed, "x/nq-test.json")) == found


def test_a_question_without_an_answer_counts_as_0(tmp_path: Path):
    found = load_rankify(put(tmp_path, entries()))
    measured = measure(found.candidates, found.qrels, ["Success@1", "Success@5"])
    assert measured.means == {"Success@1": 0.0, "Success@5": 0.5}


def test_depth_cuts_lists_and_corpus(tmp_path: Path):
    found = load_rankify(put(tmp_path, entries()), depth=1)
    assert found.candidates == {"q1": ["7"], "t2": ["7"]}
    assert [document.id for document in found.documents] == ["7"]
    with pytest.raises(InputError, match="depth must be a whole number >= 1"):
        load_rankify(put(tmp_path, entries()), depth=0)


def test_texts_from_the_table(tmp_path: Path):
    rows = entries()
    for row in rows:
        for context in row["ctxs"]:
            del context["text"], context["title"]
    file = put(tmp_path, rows)
    with pytest.raises(
        InputError, match=r"no text for 2 passages, for example '5': name DPR's psgs_w100\.tsv"
    ):
        load_rankify(file)
    table = put_text(tmp_path / "psgs.tsv", 'id\ttext\ttitle\n1\tx\ty\n5\t"A ""sang""\t!"\tT5\n7\tno\tT7\n')
    documents = load_rankify(file, passages=table).documents
    assert documents == (Document("no", "7", "T7"), Document('A "sang"\t!', "5", "T5"))
    put_text(table, "id\ttext\ttitle\n7\tno\tT7\n")
    with pytest.raises(InputError, match=r"no text for 1 passage, for example '5': nor has .*psgs\.tsv"):
        load_rankify(file, passages=table)
    put_text(table, "7\tno\tT7\n")
    with pytest.raises(InputError, match=r"psgs\.tsv: expected the columns id, text and title"):
        load_rankify(file, passages=table)
    with pytest.raises(InputError, match=r"none\.tsv cannot be read"):
        load_rankify(file, passages=tmp_path / "none.tsv")


def test_a_passage_twice_in_a_list_counts_once(tmp_path: Path):
    rows = entries()
    rows[0]["ctxs"].append(passage(7, True, "no"))
    found = load_rankify(put(tmp_path, rows))
    assert found.candidates["q1"] == ["7", "5"]
    assert found.qrels["q1"] == {"7": 0, "5": 1}
    assert found.checked() == ("1 passage was in a list twice; the first counts",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"ctxs": [passage(1, None, "x")]},
            "question 1, passage 1: 'has_answer' must be true or false, but is None",
        ),
        ({"ctxs": [passage(1, 1, "x")]}, "'has_answer' must be true or false, but is 1"),
        ({"ctxs": [{"has_answer": True, "text": "x"}]}, "question 1, passage 1: 'id' cannot be None"),
        ({"ctxs": [passage(1, True, "x", 3)]}, "'title' cannot be 3"),  # type: ignore[arg-type]
        ({"ctxs": ["x"]}, "question 1, passage 1: expected an object, but got 'x'"),
        ({"ctxs": None}, "question 1: 'ctxs' cannot be None"),
        ({"question": 3}, "question 1: 'question' cannot be 3"),
        ({"ctxs": [passage(7, True, "other")]}, "question 2, passage 1: id '7' stood for another passage"),
        ({"query_id": "t2"}, "query id of Rankify nq-test must be unique"),
    ],
)
def test_wrong_entries(tmp_path: Path, change: dict[str, Any], told: str):
    rows = entries()
    rows[0].update(change)
    with pytest.raises(InputError, match=told):
        load_rankify(put(tmp_path, rows))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1}', "expected a list of questions, but got dict"),
        ("[1]", "question 1: expected an object"),
        ("[", "not a whole JSON"),
    ],
)
def test_no_list_of_questions(tmp_path: Path, text: str, told: str):
    with pytest.raises(InputError, match=told):
        load_rankify(put_text(tmp_path / "x.json", text))


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="is no file: give one, or a folder or repository and a dataset"):
        load_rankify(tmp_path)
    with pytest.raises(InputError, match=r"holds none of dpr/nq-test\.json, dpr/nq-test\.jsonl"):
        load_rankify(tmp_path, "nq-test", retriever="dpr")
    with pytest.raises(
        BackendError, match=r"bm25/nq-test\.json of abdoelsayed/.* cannot be read from the hub"
    ):
        load_rankify(dataset="nq-test")
