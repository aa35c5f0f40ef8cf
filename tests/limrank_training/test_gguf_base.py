"""LoRA on a base that is a GGUF file: the adapter names it, the merged weights need it no more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from write_gguf import write

from limrank_plugins import Reranker
from limrank_training.estimate import estimate
from limrank_training.model_licences import base_licence
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan
from limrank_training.training_data import prepare
from limrank_training.training_run import ADAPTER, FINAL, train

PLAN = Plan(
    "tiny",
    optimiser=OptimiserSettings(rate=1e-2, schedule="constant", warmup=0.0, steps=3, batch=4, part=4),
    precision="float32",
    cutoff=400,
    dev=0.3,
)
PASSAGES = ["acid curdles milk", "bread rises", "light bends in water", "iron rusts in moist air"]


def rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    with path.open("w") as file:
        for word in ("milk", "bread", "light", "iron"):
            for text in PASSAGES:
                row = {"query": f"why {word}", "passage": text, "trace": "A cause.", "relevant": word in text}
                file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Its tokenizer has no `<think>`, which training adds."""
    tokens = tiny.qwen_tokenizer(added=())
    folder = tiny.build(tmp_path / "folder", tokens=tokens)
    return write(folder, tmp_path / "base.gguf", edit=lambda writer: writer.add_license("apache-2.0"))


def scores(reranker: Reranker) -> list[float]:
    return [hit.score for hit in sorted(reranker.rank("why milk", PASSAGES), key=lambda hit: hit.index)]


@pytest.mark.parametrize("embeddings", [False, True])
def test_adapter_and_merged_weights_give_one_score(tmp_path: Path, file: Path, embeddings: bool) -> None:
    plan = replace(PLAN, base=str(file), lora=LoraSettings(r=4, alpha=8, embeddings=embeddings))
    data = prepare(plan, rows(tmp_path))
    needs = estimate(plan, data.report["train"])
    assert needs is not None
    run = tmp_path / "run"
    train(plan, data, run)
    named = json.loads((run / ADAPTER / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(file)
    assert not list((run / FINAL).glob("*.gguf"))
    assert (run / FINAL / "model.safetensors").is_file()
    adapter = scores(Reranker.from_pretrained(str(run / ADAPTER), device="cpu", reasoning="none"))
    base = scores(Reranker("limrank", str(file), device="cpu", reasoning="none"))
    file.unlink()
    merged = scores(Reranker.from_pretrained(str(run / FINAL), device="cpu", reasoning="none"))
    assert merged == pytest.approx(adapter, abs=1e-4)
    assert merged != pytest.approx(base, abs=1e-3)


def test_the_files_licence_binds_what_is_trained_on_it(file: Path) -> None:
    assert base_licence(str(file)) == "apache-2.0"
