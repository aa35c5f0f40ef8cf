"""From rows to a folder that a reranker loads: the whole way on a tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
import transformers

from limrank_plugins import Reranker
from limrank_plugins.errors import InputError
from limrank_training.added_tokens import add_tokens, fit_embeddings
from limrank_training.model_export import export
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan
from limrank_training.sft import fine_tune
from limrank_training.training_data import prepare

torch.set_num_threads(1)
PLAN = Plan(
    "tiny",
    lora=LoraSettings(r=4, alpha=8),
    optimiser=OptimiserSettings(rate=1e-2, schedule="constant", warmup=0.0, steps=3, batch=4, part=4),
    precision="float32",
    cutoff=300,
    dev=0.3,
    reasoning=False,
)
PASSAGES = ["acid curdles milk", "bread rises", "light bends in water", "iron rusts in moist air"]


def rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    made = [
        {
            "query": f"why {word}",
            "passage": text,
            "trace": "It names a cause.",
            "relevant": word in text,
        }
        for word in ("milk", "bread", "light", "iron")
        for text in PASSAGES
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.build(tmp_path / "base")


@pytest.mark.parametrize("reasoning", [True, False])
def test_merged_and_adapter_give_one_score(tmp_path: Path, base: Path, reasoning: bool):
    plan = replace(PLAN, base=str(base), reasoning=reasoning)
    data = prepare(plan, rows(tmp_path))
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    trained = fine_tune(model, 0, data.examples, plan, tmp_path / "run", dev=data.dev)
    adapter = export(trained.model, data.tokenizer, plan, tmp_path / "adapter", merge=False)
    merged = export(trained.model, data.tokenizer, plan, tmp_path / "merged")
    scores = {}
    for name, made in {
        "merged": Reranker.from_pretrained(str(merged), device="cpu", reasoning="none"),
        "adapter": Reranker.from_pretrained(str(adapter), device="cpu", reasoning="none"),
        "base": Reranker("limrank", str(base), device="cpu", reasoning="none"),
    }.items():
        scores[name] = [hit.score for hit in sorted(made.rank("why milk", PASSAGES), key=lambda h: h.index)]
    assert scores["merged"] == pytest.approx(scores["adapter"], abs=1e-4)
    assert scores["merged"] != pytest.approx(scores["base"], abs=1e-3)
    card = json.loads((merged / "limrank.json").read_text())
    assert (card["recipe"], card["reasoning"]) == ("limrank", "full" if reasoning else "none")
    text = (merged / "README.md").read_text()
    assert "optimiser.rate: 0.01" in text
    assert Reranker.from_pretrained(str(merged), device="cpu").settings.reasoning == card["reasoning"]


def test_an_export_replaces_an_export_and_nothing_else(tmp_path: Path, base: Path):
    plan = replace(PLAN, base=str(base), lora=None)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    for _ in range(2):
        export(model, tokenizer, plan, tmp_path / "out", facts={"Data": {"rows": 16}})
    assert "- rows: 16" in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="mine"):
        export(model, tokenizer, plan, tmp_path / "mine")
    with pytest.raises(InputError, match="no adapters"):
        export(model, tokenizer, plan, tmp_path / "adapter", merge=False)


def test_dev_queries_are_kept_out_whole(tmp_path: Path, base: Path):
    data = prepare(replace(PLAN, base=str(base)), rows(tmp_path))
    assert data.report["train"]["rows"] + data.report["dev"]["rows"] == 16
    assert data.report["dev"]["rows"] % 4 == 0
    assert prepare(replace(PLAN, base=str(base)), rows(tmp_path)).examples == data.examples


def test_labels_that_are_not_one_token_stop_before_any_weights(tmp_path: Path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.build(tmp_path / "b"))
    bytes_only = tiny.tokenizer("word")
    assert tokenizer is not bytes_only
    with pytest.raises(InputError, match="is not one token"):
        prepare(PLAN, rows(tmp_path), tokenizer=tiny.llama_tokenizer())


def test_new_tokens_get_rows_that_no_random_number_decides(tmp_path: Path):
    tokens = tiny.qwen_tokenizer()
    model = tiny.model(tokens=tokens)
    before = model.get_input_embeddings().weight.detach().clone()
    assert add_tokens(tokens, ["<think>", "<new>"]) == ["<new>"]
    assert fit_embeddings(model, tokens)
    after = model.get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before)
    assert torch.allclose(after[-1], before.mean(dim=0))
    assert not fit_embeddings(model, tokens)
