"""Runs with what is known of their documents, from every kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts import full_backend

from limrank_evals.errors.detailed_run import RunHit, detailed_run_of, read_detailed_run
from limrank_plugins import Document, Reranker, ScriptedFailure
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.io import ranking_record, write_run


def rankings() -> list[dict]:
    def read(prompt):
        if "broken" in prompt.text:
            raise ScriptedFailure("no answer")
        return (0.0, 0.0) if "even" in prompt.text else (2.0, 0.0)

    reranker = Reranker("limrank", backend=full_backend(read_labels=read), reasoning="none")
    documents = [Document(text, id=text.split()[0]) for text in ("a even", "b broken", "c odd", "d even")]
    return [ranking_record(reranker.rank(Query("why", id="q"), documents, top_n=n)) for n in (4,)]


def test_what_rerank_writes(tmp_path: Path):
    records = rankings()
    write_run(tmp_path / "r.jsonl.gz", records)
    found = read_detailed_run(tmp_path / "r.jsonl.gz")
    assert found == detailed_run_of(records)
    assert [(one.document, one.rank) for one in found.lists["q"]] == [
        (hit["id"], hit["rank"]) for hit in records[0]["hits"]
    ]
    failed = next(one for one in found.lists["q"] if one.failure)
    assert (failed.document, failed.score) == ("b", None)
    assert "no answer" in failed.failure
    assert [one.score for one in found.lists["q"] if one.document in "ad"] == [0.5, 0.5]
    assert (found.detailed, found.scored, found.score_kind, found.repairs) == (True, True, "probability", 0)


def test_failures_that_the_list_no_longer_holds(tmp_path: Path):
    record = {
        "query_id": "q",
        "hits": [{"id": "a", "score": 1}],
        "failures": [{"id": "a", "reason": "x"}, {"id": "b", "reason": "too long"}],
    }
    found = detailed_run_of([record])
    assert found.dropped == {"q": {"b": "too long"}}
    assert found.only({"q": {"b"}}, None).dropped == {"q": {}}


def test_a_trec_file_of_ours_has_no_scores(tmp_path: Path):
    write_run(tmp_path / "r.run", rankings())
    found = read_detailed_run(tmp_path / "r.run")
    assert [one.document for one in found.lists["q"]] == [hit["id"] for hit in rankings()[0]["hits"]]
    assert (found.detailed, found.scored) == (False, False)


def test_a_trec_file_of_another_s_has(tmp_path: Path):
    (tmp_path / "r.run").write_text("q Q0 a 1 0.5 x\nq Q0 b 2 0.5 x\nq Q0 c 3 0.25 x\n")
    found = read_detailed_run(tmp_path / "r.run")
    assert found.lists["q"] == (
        RunHit("b", 1, 0.5),
        RunHit("a", 2, 0.5),
        RunHit("c", 3, 0.25),
    )
    assert [one.document for one in read_detailed_run(tmp_path / "r.run", "rank").lists["q"]] == [
        "a",
        "b",
        "c",
    ]
    (tmp_path / "r.json").write_text('{"q": {"a": 0.1, "b": 0.9}}')
    assert read_detailed_run(tmp_path / "r.json").lists["q"] == (
        RunHit("b", 1, 0.9),
        RunHit("a", 2, 0.1),
    )


def test_excluded_documents_go_before_the_cut():
    found = detailed_run_of([{"query_id": "q", "hits": [{"id": d} for d in "abc"]}]).only({"q": {"a"}}, 1)
    assert found.lists["q"] == (RunHit("b", 1),)
    with pytest.raises(InputError, match="depth must be a whole number >= 1"):
        found.only({}, 0)


@pytest.mark.parametrize(
    ("hit", "message"),
    [
        ({"id": "a", "score": "high"}, "score of document 'a' must be a finite number or null"),
        ({"id": "a", "score": float("nan")}, "finite number or null, but is nan"),
        ({"id": "a", "score": True}, "finite number or null, but is True"),
        ({"id": "a", "cut_tokens": -1}, "cut_tokens of document 'a' must be a count"),
        ({"id": "a", "cut_tokens": "3"}, "must be a count"),
        ({"id": "a", "failure": 1}, "failure of document 'a' must be text or null"),
        ({"id": "a", "explanation": []}, "explanation of document 'a'"),
    ],
)
def test_a_hit_that_is_not_as_it_is_written(tmp_path: Path, hit: dict, message: str):
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps({"query_id": "q", "hits": [hit]}) + "\n")
    with pytest.raises(InputError, match=message) as caught:
        read_detailed_run(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("failures", [{}, [3], [{"id": "a"}], [{"id": 1, "reason": "x"}]])
def test_failures_that_are_not_as_they_are_written(failures: object):
    with pytest.raises(InputError, match="failures must be a list of objects with id and reason"):
        detailed_run_of([{"query_id": "q", "hits": [{"id": "a"}], "failures": failures}])


def test_a_score_of_hundreds_of_digits_is_named_shortly():
    hit = {"id": "d", "rank": 1, "score": 10**400}
    with pytest.raises(InputError, match="must be a finite number or null, but is 1000") as caught:
        detailed_run_of([{"query_id": "q", "hits": [hit]}])
    assert len(str(caught.value)) < 250
