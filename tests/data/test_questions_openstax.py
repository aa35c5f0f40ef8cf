"""`limrank eval questions` over a real book: accuracy is the hit rate exactly, before and after reranking.

Psychology 2e (OpenStax) with its own multiple-choice questions; gold is every passage of the question's own
section. The reader is a scripted server: right exactly where a gold passage is in its prompt. What it is
shown is read off the prompts and off the files, and both must give the accuracy that is reported.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from needs import needs_mini
from quizzes import option
from servers import Call, LoopbackServer, chat

pytest.importorskip("openai", reason="needs the openai SDK: pip install 'limrank[openai]'")

from limrank_evals.stats import mcnemar, wilson
from limrank_pipelines.citations import neutral
from limrank_plugins import Document

pytestmark = [pytest.mark.data("openstax_psychology"), needs_mini]


@pytest.fixture(scope="module")
def folder() -> Path:
    if "LIMRANK_DATA" not in os.environ:
        pytest.skip("name the folder of the collections: LIMRANK_DATA=...")
    return Path(os.environ["LIMRANK_DATA"]) / "openstax_psychology"


def rows(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        yield from (json.loads(line) for line in stream)


def put(file: Path, found: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in found))
    return file


def limrank(*arguments: object, cache: Path) -> dict[str, Any]:
    program = Path(sys.executable).with_name("limrank")
    done = subprocess.run(
        [str(program), "eval", "questions", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "LIMRANK_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_accuracy_is_the_hit_rate_before_and_after_reranking(folder: Path, tmp_path: Path) -> None:
    corpus, seen = [], set()
    for row in rows(folder / "corpus.jsonl.gz"):
        passage = Document(row["text"], id=row["_id"], title=row["title"]).passage
        if passage not in seen:  # a text alone must say which passage it is
            seen.add(passage)
            corpus.append({**row, "passage": passage})
    # A question that is asked twice in the book has one key here, so that its text says which it is.
    # Every other one, from all over the book: all of them take twice as long and show no more.
    asked = list({row["question"]: row for row in rows(folder / "mcq.jsonl.gz")}.values())[::2]
    gold: dict[str, list[str]] = {}
    for row in corpus:
        gold.setdefault(row["_id"].partition("-")[0], []).append(neutral(row["passage"]))
    # The longest first: a question may be the beginning of another one.
    known = sorted(asked, key=lambda row: -len(row["question"]))
    hits: list[bool] = []

    def model(call: Call) -> Any:
        text = call.prompt
        body = text.rpartition("\n\nExactly one of the options")[0]
        row = next(row for row in known if f"{row['question'].strip()}\n\n(A)" in body)
        hit = any(passage in text for passage in gold.get(row["module"], ()))
        hits.append(hit)
        place = "ABCD".index(row["answer"])
        words = row["choices"][place if hit else (place + 1) % len(row["choices"])].strip()
        return chat(None, f"The answer is ({option(body, words)}).")

    with LoopbackServer(model) as server:
        found = limrank(
            put(tmp_path / "mcq.jsonl", asked),
            *(
                "--corpus",
                put(tmp_path / "corpus.jsonl", corpus),
                "--recipe",
                "mini",
                "--k",
                20,
                "--top-n",
                3,
            ),
            *("--reader", "m", "--reader-backend", "openai", "--reader-option", f"base_url={server.url}"),
            *("--reader-option", "api=chat", "--domain", "chapter", "--batch", 32, "-o", tmp_path / "out"),
            cache=tmp_path / "cache",
        )
    assert found["warnings"] == [], "its sections are read whole, 336 of 468 of them in several windows"
    modules = {row["_id"]: row["module"] for row in asked}
    answers = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 3 * len(asked)
    rights: dict[str, list[bool]] = {}
    for one in answers:
        shown = {passage.partition("-")[0] for passage in one["passages"]}
        assert one["right"] == (modules[one["question"]] in shown), one
        rights.setdefault(one["condition"], []).append(one["right"])
    for name, right in rights.items():
        told = found["conditions"][name]
        assert told["accuracy"] == told["majority"]["accuracy"] == sum(right) / len(asked)
        assert told["interval"] == list(wilson(sum(right), len(asked)) or ())
        assert sum(share["right"] for share in told["domains"].values()) == sum(right)
        assert sum(share["total"] for share in told["domains"].values()) == len(asked) > 150
    before, after = (found["conditions"][name]["accuracy"] for name in ("retrieve", "rerank"))
    assert found["conditions"]["closed-book"]["accuracy"] == 0
    assert 0.4 < before < after < 1, (before, after)
    # Equal prompts are asked once, so the server saw no more than there are answers.
    assert any(hits)
    assert len(hits) <= len(answers)
    compared = found["differences"][-1]
    assert compared["p"]["mcnemar"] == mcnemar(rights["retrieve"], rights["rerank"])
    assert len(compared["won"]) - len(compared["lost"]) == sum(rights["rerank"]) - sum(rights["retrieve"])
