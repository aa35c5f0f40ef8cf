"""Three commands over a small collection as real processes, and a server that is sick."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import limrank_command
import pytest
from servers import Answer, Call, LoopbackServer, chat, toy

CORPUS = {
    "sour": "Acid makes the casein of milk clump.",
    "yeast": "Yeast eats sugar and lifts the dough of bread.",
    "knife": "A bread knife has teeth, milk has none.",
}
QUERIES = {"q1": "why does milk turn sour", "q2": "why does bread rise"}


class Sick:
    """The toy model, which answers 500 to every prompt that holds one of these words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, call: Call) -> Any:
        if any(word in call.prompt for word in self.words):
            return Answer({"error": {"message": "the model fell over"}}, status=500)
        return chat(None, "Acid does it [1].") if "messages" in call.body else toy(call)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES)):
        lines = [json.dumps({"_id": i, "text": text}) + "\n" for i, text in rows.items()]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "qrels.txt").write_text("q1 0 sour 1\nq2 0 yeast 1\n")
    jobs = [
        {
            "query_id": query,
            "query": text,
            "passages": [{"id": i, "text": passage} for i, passage in CORPUS.items()],
        }
        for query, text in QUERIES.items()
    ]
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    benchmark = tmp_path / "benchmark"
    benchmark.mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels.txt"):
        (benchmark / name).write_bytes((tmp_path / name).read_bytes())
    return tmp_path


def _asking(server: LoopbackServer) -> list[str]:
    model = ["--recipe", "limrank", "--reasoning", "none", "--backend", "openai", "--model", "limrank"]
    return [*model, "--option", f"base_url={server.url}", "--option", "max_retries=0"]


def limrank(work: Path, server: LoopbackServer, *arguments: object, code: int = 0) -> Any:
    return limrank_command.limrank(work, *arguments, *_asking(server), code=code)


def killed_at(work: Path, server: LoopbackServer, last: int, *arguments: object) -> None:
    """Run the command; it is killed while it waits for its reply number `last`."""
    started, process = threading.Event(), []
    first = server.served

    def script(call: Call) -> Any:
        started.wait()
        if call.number - first == last - 1:
            os.kill(process[0].pid, signal.SIGKILL)
        return toy(call)

    server._script = script
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("limrank")), *map(str, arguments), *_asking(server)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=work,
        env={**os.environ, "LIMRANK_CACHE": str(work / "cache")},
    ) as begun:
        process.append(begun)
        started.set()
        _, said = begun.communicate()
    assert begun.returncode == -signal.SIGKILL, said
    server._script = toy


RERANK = ("rerank", "-q", "queries.jsonl", "-c", "corpus.jsonl", "-o", "run.trec")
EVAL = ("eval", "folder", "benchmark", "-o", "out")
BULK = ("bulk", "--jobs", "jobs.jsonl", "-o", "bulk")
