"""A server that is sick for a while: what failed is told, is not finished, and is asked for again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import Answer, Call, LoopbackServer, toy
from small_jobs import BULK, EVAL, RERANK, Sick, limrank, work

pytest.importorskip("openai", reason="needs pip install 'limrank[openai]'")

__all__ = ["work"]  # the fixture

WRITTEN = {RERANK: "run.trec", EVAL: "out/report.json", BULK: "bulk/part-00000.jsonl"}


@pytest.mark.parametrize("command", [RERANK, EVAL, BULK], ids=lambda command: command[0])
def test_a_job_whose_every_document_failed_writes_nothing_and_asks_again(work: Path, command: Any):
    with LoopbackServer(Sick("")) as server:
        done = limrank(work, server, *command, code=1)
        assert "the model fell over" in done.stderr or "500" in done.stderr
        assert "he same command asks again" in done.stderr
        assert not (work / WRITTEN[command]).exists()
        server._script, asked = toy, server.served
        limrank(work, server, *command)
        assert server.served > asked
        assert (work / WRITTEN[command]).exists()
        asked = server.served
        limrank(work, server, *command)
        assert server.served == asked, "what is finished is not asked for again"


def test_rerank_marks_an_incomplete_run_and_asks_for_what_is_missing_only(work: Path):
    with LoopbackServer(Sick("casein")) as server:
        done = limrank(work, server, *RERANK, "--json", code=1)
        report = json.loads(done.stdout)
        assert report["failures"] == 1
        assert "'sour': " in done.stderr
        assert "The same command asks again" in done.stderr
        assert {line.split()[-1] for line in (work / "run.trec").read_text().splitlines()} == {
            "limrank-incomplete"
        }
        server._script, asked = toy, server.served
        again = json.loads(limrank(work, server, *RERANK, "--json").stdout)
        assert (again["failures"], again["computed"], again["resumed"]) == (0, 1, 1)
        assert [call.prompt for call in server.calls[asked:] if "casein" not in call.prompt] == []
        assert {line.split()[-1] for line in (work / "run.trec").read_text().splitlines()} == {"limrank"}


@pytest.mark.parametrize(
    "command",
    [RERANK, EVAL, (*EVAL, "--store", "mine.sqlite"), BULK],
    ids=["rerank", "eval", "store", "bulk"],
)
def test_fresh_asks_everything_again(work: Path, command: Any):
    with LoopbackServer(toy) as server:
        limrank(work, server, *command)
        asked = server.served
        assert asked > 0
        limrank(work, server, *command, "--fresh")
        assert server.served == 2 * asked


def test_an_evaluation_with_failures_is_written_with_a_warning(work: Path):
    with LoopbackServer(Sick("casein")) as server:
        report = json.loads(limrank(work, server, *EVAL, "--json", code=1).stdout)
        (split,) = report["splits"].values()
        assert split["failures"] == 1
        assert any("the same command asks for them again" in warning for warning in split["warnings"])
        assert "the same command asks for them again" in (work / "out" / "report.json").read_text()
        server._script = toy
        (split,) = json.loads(limrank(work, server, *EVAL, "--json").stdout)["splits"].values()
        assert split["failures"] == 0


def test_a_partition_with_failures_is_incomplete_until_its_queries_are_ranked(work: Path):
    def sick(call: Call) -> Any:
        return Answer({}, status=500) if "rise" in call.prompt and "casein" in call.prompt else toy(call)

    with LoopbackServer(sick) as server:
        done = limrank(work, server, *BULK, "--json", code=1)
        assert json.loads(done.stdout)["failures_computed"] == 1
        assert sorted(file.name for file in (work / "bulk").glob("part-*")) == ["part-00000.incomplete.jsonl"]
        rows = (work / "bulk" / "part-00000.incomplete.jsonl").read_text().splitlines()
        assert [len(json.loads(row)["failures"]) for row in rows] == [0, 1]
        server._script, asked = toy, server.served
        limrank(work, server, *BULK)
        (again,) = [call.prompt for call in server.calls[asked:]]
        assert "rise" in again, "only the document that failed is asked for again"
        assert "casein" in again
        assert sorted(file.name for file in (work / "bulk").glob("part-*")) == ["part-00000.jsonl"]
        rows = (work / "bulk" / "part-00000.jsonl").read_text().splitlines()
        assert [json.loads(row)["query_id"] for row in rows] == ["q1", "q2"]
        assert [json.loads(row)["failures"] for row in rows] == [[], []]


@pytest.mark.parametrize("rewrite", [(), ("--rewrite", "keywords")])
def test_a_dead_reader_leaves_the_passages(work: Path, rewrite: tuple[str, ...]):
    with LoopbackServer(toy) as server, LoopbackServer(Sick("")) as dead:
        reader = ["--reader", "m", "--reader-backend", "openai", "--reader-option", f"base_url={dead.url}"]
        reader += ["--reader-option", "api=chat", "--reader-option", "max_retries=0", *rewrite]
        question = ("ask", "corpus.jsonl", "why does milk turn sour", *reader)
        done = limrank(work, server, *question, code=1)
        assert "casein of milk" in done.stdout
        assert "read" in done.stderr
        answer = json.loads(limrank(work, server, *question, "--json", code=1).stdout)
        assert answer["answer"] is None
        assert [passage["id"] for passage in answer["passages"]]
        dead._script = Sick()
        assert json.loads(limrank(work, server, *question, "--json").stdout)["answer"]


def test_a_search_with_failures_shows_what_it_has_and_says_so(work: Path):
    with LoopbackServer(Sick("casein")) as server:
        done = limrank(work, server, "search", "corpus.jsonl", "milk", code=1)
        assert "failed" in done.stdout
        assert "1 of 2 passages could not be judged" in done.stderr


def test_a_backend_that_the_default_recipe_cannot_use_wants_a_recipe(work: Path):
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("limrank")),
            *RERANK,
            "--backend",
            "openai",
            "--model",
            "limrank",
        ],
        capture_output=True,
        text=True,
        cwd=work,
        env={**os.environ, "LIMRANK_CACHE": str(work / "cache"), "COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert "--backend openai cannot run the default recipe, mini" in done.stderr
    assert "--recipe limrank" in done.stderr
