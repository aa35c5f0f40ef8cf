"""Every command that ranks says of how many queries and documents a part only was read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from limrank_command import limrank

LONG = " ".join(f"bread{i}" for i in range(300))
RECIPE = "mini:pieces=first"
DOCUMENTS, QUERIES = "1 of 2 documents was longer than the model reads", "1 of 1 query was longer"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    def write(name: str, *rows: dict[str, object]) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    corpus = [{"_id": f"d{i}", "text": f"yeast {text}"} for i, text in enumerate(["", LONG])]
    write("benchmark/corpus.jsonl", *corpus)
    write("benchmark/queries.jsonl", {"_id": "q", "text": f"yeast {LONG}"})
    (tmp_path / "benchmark" / "qrels.txt").write_text("q 0 d0 1\n")
    passages = [{"id": row["_id"], "text": row["text"]} for row in corpus]
    write("jobs.jsonl", {"query_id": "q", "query": f"yeast {LONG}", "passages": passages})
    return tmp_path


@pytest.mark.parametrize("command", ["search", "ask"])
def test_search_and_ask(work: Path, command: str):
    arguments = (command, "benchmark/corpus.jsonl", f"yeast {LONG}", "--recipe", RECIPE)
    told = limrank(work, *arguments).stderr
    assert DOCUMENTS in told
    assert "the query was longer than the model reads: the last" in told
    record = json.loads(limrank(work, *arguments, "--json").stdout)
    assert (record["cut_queries"], record["cut_documents"]) == (1, 1)
    assert record["query_cut_tokens"] > 0
    hits = record["hits" if command == "search" else "passages"]
    assert [hit["id"] for hit in hits if hit["cut_tokens"]] == ["d1"]


def test_bulk_whether_computed_now_or_before(work: Path):
    with (work / "jobs.jsonl").open("a") as jobs:
        jobs.write(json.dumps({"query_id": "e", "query": "empty", "passages": []}) + "\n")
    arguments = ("bulk", "--jobs", "jobs.jsonl", "--recipe", RECIPE, "--size", 1, "-o", "out")
    told = f"1 query had no candidates; 1 of 2 queries was longer than the model reads; {DOCUMENTS}"
    first = limrank(work, *arguments).stderr
    assert f"2 partitions in out: 2 computed now (2 queries), 0 were there; {told}" in first
    again = limrank(work, *arguments).stderr
    assert f"2 partitions in out: 0 computed now (0 queries), 2 were there; {told}" in again
    record = json.loads(limrank(work, *arguments, "--json").stdout)
    assert (record["cut_queries"], record["cut_documents"], record["without_candidates"]) == (1, 1, 1)


def test_an_evaluation(work: Path):
    done = limrank(work, "eval", "folder", "benchmark", "-o", "out", "--recipe", RECIPE)
    assert DOCUMENTS in done.stdout
    assert QUERIES in done.stdout
    report = json.loads((work / "out" / "report.json").read_text())
    (split,) = report["splits"]
    assert (split["cut_queries"], split["cut_documents"]) == (1, 1)
    assert DOCUMENTS in [warning["text"] for warning in report["warnings"]]
    assert DOCUMENTS in (work / "out" / "report.html").read_text()
    again = ("eval", "folder", "benchmark", "-o", "out", "--recipe", RECIPE, "--json")
    record = json.loads(limrank(work, *again).stdout)
    (split,) = record["splits"].values()
    assert (split["cut_queries"], split["cut_documents"]) == (1, 1)
    assert DOCUMENTS in split["warnings"]


def test_errors(work: Path):
    run = ("rerank", "-q", "benchmark/queries.jsonl", "-c", "benchmark/corpus.jsonl", "-o", "run.jsonl")
    limrank(work, *run, "--recipe", RECIPE)
    done = limrank(work, "eval", "errors", "run.jsonl", "--qrels", "benchmark/qrels.txt")
    assert f"{QUERIES} than the model reads; {DOCUMENTS} (0 relevant" in done.stdout
