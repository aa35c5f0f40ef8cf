"""`limrank train` as a process: look, show, train, go on."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import tiny
from limrank_command import run_limrank
from safetensors.torch import load_file, save_file

PLAN = """
base: {base}
lora: {{r: 4, alpha: 8}}
optimiser: {{rate: 1e-2, schedule: constant, warmup: 0.0, epochs: 2, batch: 4, part: 4}}
precision: float32
cutoff: 300
dev: 0.0
"""


def limrank(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LIMRANK_CACHE": str(cwd / "cache")}
    return run_limrank(arguments, cwd=cwd, env=env)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rows = [
        {"query": "why milk", "passage": "acid curdles milk", "trace": "It names a cause.", "relevant": True},
        {"query": "why milk", "passage": "bread rises", "trace": "Another matter.", "relevant": False},
    ] * 4
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny.build(tmp_path / "base")
    (tmp_path / "plan.yaml").write_text(PLAN.format(base=tmp_path / "base"))
    return tmp_path


def test_plans_are_listed(tmp_path: Path):
    done = limrank("train", "list", cwd=tmp_path)
    assert done.returncode == 0
    assert "limrank-7b-paper" in done.stdout


def test_a_dry_run_needs_neither_weights_nor_a_download(place: Path):
    done = limrank("train", "limrank-7b-paper", "--rows", "rows.jsonl", "--dry-run", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["plan"]["optimiser"]["rate"] == 6e-5
    assert found["data"]["train"]["rows"] + found["data"]["dev"]["rows"] == 8
    assert found["new_tokens"] == ["<think>", "</think>"]
    assert "stand-in" in done.stderr


def test_a_dry_run_says_what_the_run_needs(place: Path):
    done = limrank("train", "plan.yaml", "--rows", "rows.jsonl", "--dry-run", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "8 rows, 8 examples; the longest has" in done.stderr
    assert "needs about " in done.stderr
    assert "hours on one GPU at 300 TFLOP/s" in done.stderr
    assert not re.search(r"None|True|False|[\[\]{}]", done.stdout), "words, as --set takes them"
    assert "plan.tokens: <think>, </think>\n" in done.stdout
    without = limrank("train", "plan.yaml", "--dry-run", cwd=place)
    assert "give --rows file.jsonl" in without.stderr


def test_the_shown_prompt_is_that_of_inference(place: Path):
    shown = limrank("train", "plan.yaml", "--rows", "rows.jsonl", "--show-example", cwd=place)
    asks = ("--query", "why milk", "--document", "acid curdles milk")
    asked = limrank("prompt", "show", "limrank", *asks, cwd=place)
    assert shown.returncode == asked.returncode == 0, shown.stderr
    assert shown.stdout == asked.stdout + "\nIt names a cause.\n</think> true"


def test_training_ends_in_a_model_that_ranks_what_it_learned(place: Path):
    done = limrank("train", "plan.yaml", "--rows", "rows.jsonl", "-o", "run", "--set", "reasoning=false",
                   "--set", "optimiser.epochs=20", cwd=place)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "8 rows, 8 examples; the longest has" in done.stderr
    assert "hours on one GPU at 300 TFLOP/s" in done.stderr
    assert "run holds the trained model in adapter and final" in done.stderr
    history = [json.loads(line) for line in (place / "run/history.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < 0.1 * losses[0]
    from limrank_plugins import Reranker

    made = Reranker.from_pretrained(str(place / "run/final"), device="cpu")
    ranking = made.rank("why milk", ["bread rises", "acid curdles milk"])
    assert ranking.ids == ["1", "0"]
    assert ranking[0].score > 0.9
    again = limrank("train", "plan.yaml", "--rows", "rows.jsonl", "-o", "run", cwd=place)
    assert again.returncode == 2
    assert "another plan" in again.stderr


def test_untrained_tokens_are_told_of(place: Path):
    plan = (place / "plan.yaml").read_text() + "tokens: [<think>, </think>, <why>]\n"
    (place / "plan.yaml").write_text(plan)
    for value, said in (("false", "are not trained: lora.embeddings=true would"), ("true", "are trained")):
        done = limrank("train", "plan.yaml", "--rows", "rows.jsonl", "-o", value, "--adapter-only", "--set",
                       f"lora.embeddings={value}", "--set", "optimiser.steps=1", cwd=place)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"new tokens <why>; embeddings {said}" in done.stderr
        assert f"{value} holds the trained model in adapter\n" in done.stderr


def test_a_loss_that_is_no_number_stops_at_its_line_and_leaves_what_was_good(place: Path):
    arguments = ("train", "plan.yaml", "--rows", "rows.jsonl", "-o", "run")
    assert limrank(*arguments, cwd=place).returncode == 0
    kept = {file: file.read_bytes() for file in (place / "run").rglob("*.safetensors")}
    assert {file.parent.name for file in kept} == {"adapter", "final", "checkpoint-2", "checkpoint-4"}
    lines = (place / "rows.jsonl").read_text().splitlines()
    lines[5] = json.dumps(json.loads(lines[5]) | {"passage": "bread § rises"})
    (place / "rows.jsonl").write_text("\n".join(lines))
    weights = load_file(place / "base/model.safetensors")
    token = tiny.tokenizer()("§", add_special_tokens=False)["input_ids"][-1]
    weights["model.embed_tokens.weight"][token] = float("nan")
    save_file(weights, place / "base/model.safetensors", {"format": "pt"})
    done = limrank(*arguments, "--fresh", cwd=place)
    assert done.returncode not in (0, 2)
    assert "Traceback" not in done.stderr
    assert "is nan, for: rows.jsonl, line 6. The last checkpoint stands" in done.stderr
    assert {file: file.read_bytes() for file in (place / "run").rglob("*.safetensors")} == kept


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no plan 'nowhere'"),
        (["direct"], "--rows"),
        (["plan.yaml", "--rows", "rows.jsonl"], "--output"),
        (["plan.yaml", "--rows", "none.jsonl", "--dry-run"], "none.jsonl"),
        (["plan.yaml", "--rows", "rows.jsonl", "--set", "rate"], "key=value"),
        (["plan.yaml", "--set", "optimiser.rate=fast", "--dry-run"], "optimiser.rate"),
        (["plan.yaml", "--set", "cutoff=30", "--rows", "rows.jsonl", "--dry-run"], "cutoff"),
    ],
)
def test_bad_input_is_one_line(place: Path, arguments: list[str], said: str):
    done = limrank("train", *arguments, cwd=place)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
