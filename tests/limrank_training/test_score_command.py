"""`limrank score`: a recipe's or a file's scores beside rows; what has none is left out and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from limrank_command import limrank
from rerank_servers import cohere_like, score
from servers import Answer, Call, LoopbackServer

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import build_retriever
from limrank_training.teacher import joined, read_scores, read_unscored

PASSAGES = ["acid curdles milk", "bread rises with yeast", "milk and yeast", "rivers carve valleys"]
QUERIES = ["why does milk curdle", "why does yeast make bread rise"]


def row(query: int, passage: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"p{passage}",
        "query_id": f"q{query}",
        "query": QUERIES[query],
        "passage": PASSAGES[passage],
        "relevant": passage == query,
        **more,
    }


ROWS = [row(query, passage) for passage in range(4) for query in range(2)]
"""The rows of a query do not stand together."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path / "rows.jsonl", ROWS)
    return tmp_path


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_recipes_scores_stand_beside_the_rows_and_are_not_computed_again(place: Path):
    command = ("score", "rows.jsonl", "--recipe", "prior", "-o", "scored.jsonl")
    done = limrank(place, *command)
    assert done.stdout == ""
    assert "8 of 8 rows in scored.jsonl; 2 queries judged now, 0 kept from before" in done.stderr
    assert "teacher.scale=zscore" in done.stderr
    found = read(place / "scored.jsonl")
    assert [{k: v for k, v in one.items() if k not in ("score", "teacher")} for one in found] == ROWS
    assert {one["teacher"] for one in found} == {"prior"}
    index = build_retriever("bm25s", [Document(text, text) for text in PASSAGES])
    for query in QUERIES:
        hits = {document.text: document.prior for document in index.search(query)}
        own = {one["passage"]: one["score"] for one in found if one["query"] == query}
        # What BM25 does not find is scored as the least that it does; see recipe prior.
        assert own == pytest.approx({text: hits.get(text, min(hits.values())) for text in PASSAGES})
    again = json.loads(limrank(place, *command, "--json").stdout)
    assert (again["scored"], again["computed"], again["resumed"]) == (8, 0, 2)
    anew = json.loads(limrank(place, *command, "--fresh", "--json").stdout)
    assert (anew["computed"], anew["resumed"]) == (2, 0)


def test_a_teacher_sees_all_passages_of_a_query(place: Path):
    """Scaled to [0, 1] within its list, each query has one best and one worst passage."""
    recipe = "fuse:parts=prior+prior,method=minmax"
    limrank(place, "score", "rows.jsonl", "--recipe", recipe, "-o", "scored.jsonl")
    for query in QUERIES:
        own = [one["score"] for one in read(place / "scored.jsonl") if one["query"] == query]
        assert (min(own), max(own)) == (0.0, pytest.approx(2.0))
        assert own.count(max(own)) == 1


def test_what_fails_is_left_out_and_asked_for_again(place: Path):
    def sick(call: Call) -> Any:
        return Answer({"message": "too long"}, 400) if call.body["query"] == QUERIES[1] else cohere_like(call)

    with LoopbackServer(sick) as server:
        command = ("score", "rows.jsonl", "--recipe", "rerank-api:scores=probability", "--model", "m",
                   "--option", f"base_url={server.url}", "-o", "scored.jsonl")  # fmt: skip
        done = limrank(place, *command, code=1)
        assert "4 of 8 rows in scored.jsonl" in done.stderr
        assert (
            "4 passages could not be judged and are left out; the first one, rows.jsonl, line 2"
            in done.stderr
        )
        found = read(place / "scored.jsonl")
        assert [one["query"] for one in found] == [QUERIES[0]] * 4
        assert [one["score"] for one in found] == pytest.approx([score(text) for text in PASSAGES])
        assert {one["teacher"] for one in found} == {"rerank-api:scores=probability@m"}
        server._script, asked = cohere_like, len(server.calls)
        again = limrank(place, *command)
        assert "1 query judged now, 1 kept from before" in again.stderr
        assert "teacher.scale=logit" in again.stderr
        assert {call.body["query"] for call in server.calls[asked:]} == {QUERIES[1]}
        assert [one["id"] for one in read(place / "scored.jsonl")] == [one["id"] for one in ROWS]


SCORES = {("q0", "p0"): 2.5, ("q0", "p1"): -1.0, ("q1", "p1"): 4.0, ("q1", "p9"): 0.0}


@pytest.mark.parametrize("kind", ["trec", "rows", "run"])
def test_scores_of_a_file_are_joined_and_misses_named(place: Path, kind: str):
    file = place / ("teacher.trec" if kind == "trec" else "teacher.jsonl")
    if kind == "trec":
        file.write_text("".join(f"{q} Q0 {p} 1 {value} t\n" for (q, p), value in SCORES.items()))
    elif kind == "rows":
        write(file, [{"query_id": q, "id": p, "score": value} for (q, p), value in SCORES.items()])
    else:
        hits = {q: [{"id": p, "score": v} for (of, p), v in SCORES.items() if of == q] for q in ("q0", "q1")}
        write(file, [{"query_id": q, "hits": own} for q, own in hits.items()])
    done = limrank(place, "score", "rows.jsonl", "--scores", file.name, "-o", "scored.jsonl", code=1)
    assert "3 of 8 rows in scored.jsonl" in done.stderr
    assert (
        "no score for 5 rows, which are left out; the first: rows.jsonl, line 2 (query 'q1', passage 'p0')"
        in (done.stderr)
    )
    found = {(one["query_id"], one["id"]): one["score"] for one in read(place / "scored.jsonl")}
    assert found == {key: value for key, value in SCORES.items() if key[1] != "p9"}
    assert {one["teacher"] for one in read(place / "scored.jsonl")} == {file.name}


def test_all_rows_scored_is_success_and_earlier_scores_are_replaced(place: Path):
    write(place / "rows.jsonl", [one | {"score": 1.0, "teacher": "old"} for one in ROWS])
    write(place / "t.jsonl", [{"query_id": q["query_id"], "id": q["id"], "score": 7.0} for q in ROWS])
    limrank(place, "score", "rows.jsonl", "--scores", "t.jsonl", "-o", "scored.jsonl")
    assert read(place / "scored.jsonl") == [one | {"score": 7.0, "teacher": "t.jsonl"} for one in ROWS]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ('{"query_id": "q0", "id": "p0", "score": "x"}\n', "'score' must be a finite number, but got 'x'"),
        ('{"query_id": "q0", "id": "p0", "score": null}\n', "line 1: 'score'"),
        ('{"id": "p0", "score": 1}\n', "line 1: no 'query_id'"),
        ('{"query_id": "q0", "hits": [{"score": 1}]}\n', "line 1: no 'id'"),
        ('{"query_id": "q0", "hits": 1}\n', "line 1: 'hits' must be a list"),
        ('{"query_id": "x", "id": "y", "score": 1}\n', "no row has a score: the rows' first ids are"),
        (
            '{"query_id": "q0", "id": "p0", "score": 1}\n' * 2,
            "line 2: passage 'p0' of query 'q0' has a score",
        ),
        ("", "t.jsonl holds no scores"),
    ],
)
def test_files_of_scores_that_cannot_be_used(place: Path, scores: str, said: str):
    (place / "t.jsonl").write_text(scores)
    with pytest.raises(InputError, match=said):
        joined(read_unscored(place / "rows.jsonl"), read_scores(place / "t.jsonl"))


def test_a_failed_hit_of_a_run_has_no_score(place: Path):
    hits = [{"id": "p0", "score": 1.0, "failure": None}, {"id": "p1", "score": None, "failure": "too long"}]
    write(place / "run.jsonl", [{"query_id": "q0", "hits": hits}])
    assert read_scores(place / "run.jsonl") == {("q0", "p0"): 1.0}


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"passage": ""}, ["--recipe", "prior"], "line 9: 'passage' is missing or empty"),
        ({"relevant": "maybe"}, ["--recipe", "prior"], "line 9: the verdict must be true or false"),
        (
            {},
            ["--recipe", "rankgpt", "--model", "none"],
            "gives them no scores, so there is nothing to distil",
        ),
        ({}, ["--recipe", "prior", "--retriever", "bm26"], "there is no retriever 'bm26'"),
        ({}, ["--recipe", "prior", "-o", "rows.jsonl"], "read as an input"),
        ({}, ["--recipe", "prior", "--scores", "rows.jsonl"], "a file of scores, so --recipe says nothing"),
        ({}, ["--recipe", "prior", "-o", "other.txt"], "was not written by this command"),
    ],
)
def test_bad_input_is_one_line(place: Path, change: dict[str, Any], options: list[str], said: str):
    write(place / "rows.jsonl", [*ROWS, row(0, 0) | change])
    (place / "other.txt").write_text("a letter\n")
    done = limrank(place, "score", "rows.jsonl", "-o", "scored.jsonl", *options, code=2)
    assert said in done.stderr
    assert not (place / "scored.jsonl").exists()
