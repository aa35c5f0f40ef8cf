"""Graded, setwise and listwise plans from rows to a reranker that does what it learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import chats
import pytest
import tiny
import torch

from limrank_plugins import Reranker
from limrank_plugins.prompts import load_template
from limrank_training.plans import ListSettings, LoraSettings, OptimiserSettings, Plan
from limrank_training.standin import standin_tokenizer
from limrank_training.training_data import prepare
from limrank_training.training_run import train

torch.set_num_threads(1)
PLAN = Plan(
    "test",
    reasoning=False,
    tokens=(),
    lora=LoraSettings(r=8, alpha=16),
    optimiser=OptimiserSettings(rate=2e-2, schedule="cosine", warmup=0.0, steps=40, batch=4, part=4),
    precision="float32",
    cutoff=4096,
    dev=0.0,
    seed=3,
)


def trained(plan: Plan, rows: Path, folder: Path) -> Reranker:
    train(plan, prepare(plan, rows), folder, log_every=20)
    entries = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    assert losses[-1] < 0.2 * losses[0]
    return Reranker.from_pretrained(str(folder / "final"), device="cpu")


def test_grades(tmp_path: Path):
    base = tiny.build(
        tmp_path / "base", tokens=standin_tokenizer(load_template("graded")), max_position_embeddings=4096
    )
    plan = replace(PLAN, objective="graded", recipe="graded:levels=4", base=str(base))
    rows = chats.written(
        tmp_path / "rows.jsonl",
        *[{"query": "why rust", "passage": text, "grade": i} for i, text in enumerate(chats.TEXTS)],
    )
    data = prepare(plan, rows)
    assert [len(e.ids) - e.learned for e in data.examples] == [1, 1, 1, 1]
    made = trained(plan, rows, tmp_path / "run")
    ranking = made.rank("why rust", list(chats.TEXTS))
    assert ranking.ids == ["3", "2", "1", "0"]
    assert [round(hit.score) for hit in ranking] == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("objective", "recipe"), [("setwise-sft", "rank-r1"), ("listwise-sft", "reasonrank")]
)
def test_choices_and_orders(tmp_path: Path, objective: str, recipe: str):
    base = chats.build(tmp_path / "base")
    plan = replace(
        PLAN, objective=objective, recipe=recipe, base=str(base), end=True, lists=ListSettings(shuffle=True),
        optimiser=replace(PLAN.optimiser, steps=90),
    )  # fmt: skip
    orders = [[i, *(j for j in range(4) if j != i)] for i in range(4)]
    rows = chats.written(tmp_path / "rows.jsonl", *[chats.group(i, order=orders[i]) for i in range(4)])
    made = trained(plan, rows, tmp_path / "run")
    assert made.settings.reasoning == "none", "the card says how it was trained"
    for example in prepare(plan, rows).examples:
        ranking = made.rank(example.group.query, [p.text for p in example.group.passages])
        assert ranking.ids[0] == str(example.group.chosen())
        if objective == "listwise-sft":  # a heap also asks about groups without their best one
            assert ranking.repairs == 0
