"""What is trained is held in 32 bits, so that small steps are not lost; what is written is as planned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

from limrank_plugins import Reranker
from limrank_training.dev_ranking import dev_queries
from limrank_training.history import read_history
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan, WatchSettings
from limrank_training.training_data import prepare
from limrank_training.training_run import load_base, train

torch.set_num_threads(1)
PLAN = Plan(
    "half",
    lora=None,
    optimiser=OptimiserSettings(rate=1e-6, schedule="constant", warmup=0.0, steps=3, batch=4, part=4),
    precision="bfloat16",
    reasoning=False,
    cutoff=300,
    dev=0.4,
)
WORDS = ("milk", "bread", "light", "iron")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    made = [
        {"query": f"why {word}", "passage": f"{other} it is", "trace": "So.", "relevant": word == other}
        for word in WORDS
        for other in WORDS
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return tmp_path / "rows.jsonl"


def trainable(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def test_small_steps_in_half_precision_are_not_lost(tmp_path: Path, rows: Path):
    plan = replace(PLAN, base=str(tiny.build(tmp_path / "base")))
    made = prepare(plan, rows)
    before = trainable(load_base(plan, made.tokenizer))
    trained = train(plan, made, tmp_path / "run", merge=False)
    after = trainable(trained.model)
    assert {weight.dtype for weight in after.values()} == {torch.float32}
    for name, weight in after.items():
        if "bias" not in name:
            assert not torch.equal(weight, before[name]), name
            assert (weight - before[name]).abs().max() < 1e-5


@pytest.mark.parametrize("embeddings", [True, False])
def test_adapters_and_embeddings_too_and_the_live_model_ranks(tmp_path: Path, rows: Path, embeddings: bool):
    lora = LoraSettings(r=4, alpha=8, embeddings=embeddings)
    plan = replace(PLAN, base=str(tiny.build(tmp_path / "base")), lora=lora, watch=WatchSettings())
    made = prepare(plan, rows)
    trained = train(plan, made, tmp_path / "run", watched=dev_queries(plan, rows))
    entries = read_history(tmp_path / "run/history.jsonl")
    assert any("dev_ndcg" in entry for entry in entries)
    assert trained.steps == 3
    adapter = load_file(tmp_path / "run/adapter/adapter_model.safetensors")
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    assert any("embed_tokens" in name for name in adapter) == embeddings
    merged = load_file(tmp_path / "run/final/model.safetensors")
    assert {weight.dtype for weight in merged.values()} == {torch.bfloat16}
    config = json.loads((tmp_path / "run/final/config.json").read_text())
    assert config.get("dtype", config.get("torch_dtype")) == "bfloat16"
    for name in ("final", "adapter"):
        reranker = Reranker.from_pretrained(str(tmp_path / "run" / name), device="cpu")
        assert len(reranker.rank("why milk", ["milk it is", "bread it is"])) == 2


def test_the_rest_is_held_in_the_plans_precision(tmp_path: Path):
    plan = replace(PLAN, base=str(tiny.build(tmp_path / "base")), lora=LoraSettings())
    assert {p.dtype for p in load_base(plan, tiny.tokenizer()).parameters()} == {torch.bfloat16}
