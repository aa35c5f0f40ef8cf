"""`limrank ask` through the real process: a served reader, no reader, JSON, hybrid, bad input."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from limrank_command import run_limrank
from servers import Call, LoopbackServer, chat

pytest.importorskip("openai", reason="needs the openai SDK: pip install 'limrank[openai]'")

CORPUS = [
    {"_id": "stand", "title": "Tea", "text": "The stand sells lemon tea and \u001b[31mcake."},
    {"_id": "acid", "title": "Curds\u0007", "text": "Acid makes the casein of milk curdle."},
    {"_id": "bread", "title": "Bread", "text": "Bread rises because yeast makes gas."},
]
QUESTION = "why does milk curdle in lemon tea"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
    return file


def ask(corpus: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    variables = {"LIMRANK_CACHE": str(corpus.parent / "cache"), "COLUMNS": "200"}
    words = ["ask", *arguments, "--recipe", "prior"]
    done = run_limrank(words, cwd=Path.cwd(), env={**os.environ, **variables})
    assert done.returncode == code, done.stderr + done.stdout
    return done


def model(call: Call) -> Any:
    return chat(None, "casein" if "Which words" in call.prompt else "Acid does it [2], they say [8].")


def served(server: LoopbackServer) -> list[str]:
    options = ["--reader-option", f"base_url={server.url}", "--reader-option", "api=chat"]
    return ["--reader", "m", "--reader-backend", "openai", *options]


def test_a_served_reader_answers_and_its_sources_are_listed(corpus: Path):
    with LoopbackServer(model) as server:
        done = ask(corpus, corpus, QUESTION, *served(server), "--top-n", 2)
        again = json.loads(ask(corpus, corpus, QUESTION, *served(server), "--top-n", 2, "--json").stdout)
        chats = [call for call in server.calls if "messages" in call.body]
        assert len(chats) == 1, "the second time, the answer is in the store"
        assert "Passage [2]: Curds\u0007 Acid makes the casein" in chats[0].prompt
    lines = done.stdout.splitlines()
    assert lines[0] == "Acid does it [2], they say."
    assert "[2] Curds· (acid): Acid makes the casein of milk curdle." in lines, "a control is hidden"
    assert "no reader" not in done.stderr
    assert again["answer"] == "Acid does it [2], they say."
    assert again["citations"] == [{"number": 2, "id": "acid"}]
    assert [(p["number"], p["id"], p["cited"]) for p in again["passages"]] == [
        (1, "stand", False),
        (2, "acid", True),
    ]
    assert again["repairs"] == 1
    assert (again["candidates"], again["failures"], again["recipe"]) == (2, [], "prior")
    assert list(again["timings"]) == ["retrieve", "rerank", "read"]
    assert again["usage"]["cached"] == 1


def test_the_readers_model_rewrites_for_the_first_stage(corpus: Path):
    with LoopbackServer(model) as server:
        record = json.loads(
            ask(corpus, corpus, "lumps", *served(server), "--rewrite", "keywords", "--json").stdout
        )
    assert record["searched"] == "lumps casein"
    assert [passage["id"] for passage in record["passages"]] == ["acid"]
    assert record["query"] == "lumps"


def test_an_answer_that_cites_nothing_shows_what_was_read(corpus: Path):
    with LoopbackServer(lambda call: chat(None, "Acid does it.")) as server:
        done = ask(corpus, corpus, QUESTION, *served(server), "--top-n", 1)
    assert done.stdout.startswith("Acid does it.\n\nIt names none of the passages that were read:\n[1] ")


def test_without_a_reader_the_passages_are_shown_and_it_says_so(corpus: Path):
    done = ask(corpus, corpus, QUESTION)
    assert "no reader is named" in done.stderr
    assert "Acid makes the casein" in done.stdout
    assert "\u001b[31m" not in done.stdout
    record = json.loads(ask(corpus, corpus, QUESTION, "--retriever", "bm25s+rank_bm25", "--json").stdout)
    assert record["answer"] is None
    assert record["passages"][0]["score"] == pytest.approx(2 / 61), "the fused score is the prior"


def test_what_ends_the_command_is_said_once(corpus: Path):
    with LoopbackServer(lambda call: chat(None, "")) as server:
        done = ask(corpus, corpus, QUESTION, *served(server), code=1)
    assert done.stderr.count("the model wrote no answer") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--rewrite", "hyde"], "--rewrite needs a model"),
        (["--max-tokens", 5], "--max-tokens needs a model"),
        (["--retriever", "bm25s+nonsense"], "nonsense"),
        (["--reader", "m", "--reader-backend", "nonsense"], "nonsense"),
        (["--reader", "gtp-4o"], "--reader-backend openai"),
        (["--top-n", 0], "--top-n must be"),
    ],
)
def test_bad_input_is_one_line(corpus: Path, arguments: list[object], named: str):
    done = ask(corpus, corpus, QUESTION, *arguments, code=2)
    assert named in done.stderr
    assert "Traceback" not in done.stderr
