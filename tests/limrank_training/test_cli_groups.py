"""`limrank train` for groups: every plan can be looked at without weights, and shows inference's prompt."""

from __future__ import annotations

import json
from pathlib import Path

import chats
import pytest
import typer
from typer.testing import CliRunner

from limrank_plugins import Document, Query, Reranker, ScriptedBackend
from limrank_training.cli import register

APP = typer.Typer()
register(APP)
APP.callback()(lambda: None)
GROUPS = ("setwise-sft", "reasonrank-sft", "first", "rank-r1", "reasonrank")


def limrank(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(APP, ["train", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    reasons = ["It names a cause."] * 4
    made = [chats.group(i, order=[i, *(j for j in range(4) if j != i)], reasons=reasons) for i in range(4)]
    return chats.written(tmp_path / "rows.jsonl", *made)


@pytest.mark.parametrize("name", GROUPS)
def test_a_dry_run_needs_neither_weights_nor_a_download(name: str, rows: Path):
    code, out, err = limrank(name, "--rows", rows, "--dry-run", "--json", "--set", "dev=0.0")
    assert code == 0, err
    found = json.loads(out)
    assert found["data"]["train"]["examples"] == 4
    assert found["plan"]["lists"]["size"] == 20
    assert "stand-in" in err


@pytest.mark.parametrize(("name", "learned"), [
    ("setwise-sft", "[1]</answer>"),
    ("reasonrank-sft", "<think> [1] It names a cause."),
    ("first", "A] > [B] > [C] > [D]"),
    ("rank-r1", ""),
    ("reasonrank", ""),
])  # fmt: skip
def test_the_shown_prompt_is_that_of_inference(tmp_path: Path, rows: Path, name: str, learned: str):
    base = chats.build(tmp_path / "base")
    code, out, err = limrank(
        name, "--rows", rows, "--show-example", "--set", f"base={base}", "--set", "lists.shuffle=false",
        "--set", "dev=0.0",
    )  # fmt: skip
    assert code == 0, err
    recipe = {"setwise-sft": "rank-r1", "reasonrank-sft": "reasonrank"}.get(name, name)
    asked = prompt(recipe, None if name == "first" else "none" if name == "setwise-sft" else "full")
    assert out.startswith(asked)
    rest = out.removeprefix(asked)
    assert rest.startswith(learned) if learned else rest == ""
    assert ("are learned" in err) == bool(learned)


def prompt(recipe: str, reasoning: str | None) -> str:
    """What a reranker asks about the first row, as the tiny model's chat template writes it."""
    from limrank_plugins.backends.chat import as_completion

    backend = ScriptedBackend(read_labels=lambda _: (3.0, 2.0, 1.0, 0.0), generate=lambda _: "[1]")
    row = chats.group(0)
    documents = [Document(p["text"]) for p in row["passages"]]
    Reranker(recipe, backend=backend, reasoning=reasoning).rank(Query(row["query"]), documents)
    return as_completion(backend.requests[0].prompt, chats.tokenizer()).text


def test_grades_can_be_looked_at(tmp_path: Path):
    rows = chats.written(
        tmp_path / "rows.jsonl",
        *[{"query": "why milk", "passage": text, "grade": i} for i, text in enumerate(chats.TEXTS)],
    )
    code, out, err = limrank("graded", "--rows", rows, "--show-example", "--set", "dev=0.0")
    assert code == 0, err
    assert out.endswith("Grade: E")
    assert "1 is learned" in err


@pytest.mark.parametrize("name", GROUPS)
def test_a_bad_line_stops_a_dry_run(tmp_path: Path, name: str):
    rows = chats.written(tmp_path / "rows.jsonl", chats.group(reasons=["r"] * 4), chats.group(answer=1))
    code, out, err = limrank(name, "--rows", rows, "--dry-run")
    assert code == 2
    assert "line 2" in err
    assert out == ""
