"""MM-R5's stage of reinforcement on a tiny random model that sees: images go in as at inference."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import chats
import pytest
import tiny_vision
import torch

from limrank_plugins.backends.vision import VisionBackend
from limrank_plugins.errors import InputError
from limrank_training import grpo
from limrank_training.adapters import with_adapters
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.estimate import estimate, model_class
from limrank_training.plans import (
    GrpoSettings,
    ListSettings,
    LoraSettings,
    OptimiserSettings,
    Plan,
    load_plan,
)
from limrank_training.training_data import prepare

torch.set_num_threads(1)
PLAN = Plan(
    "test",
    objective="grpo",
    recipe="mm-r5",
    tokens=(),
    lora=LoraSettings(r=4, alpha=8, targets=load_plan("mm-r5").lora.targets),
    optimiser=OptimiserSettings(
        rate=1e-2, schedule="constant", warmup=0.0, steps=2, batch=2, part=4, clip=1.0
    ),
    lists=ListSettings(size=3, shuffle=True),
    precision="float32",
    cutoff=2000,
    dev=0.0,
    seed=3,
    grpo=GrpoSettings(generations=2, completion=8, beta=0.1),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sees") / "base"
    return tiny_vision.build(folder, "qwen2_5_vl", max_position_embeddings=4096)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    made = []
    for number in range(4):
        passages = []
        for page in range(3):
            name = f"{number}-{page}.png"
            size = (40 + 20 * page, 30 + 10 * number)
            (tmp_path / name).write_bytes(tiny_vision.picture((60 * page, 90, 20 * number), size, page).data)
            passages.append({"images": [name], "relevance": int(page == number % 3)})
        made.append({"query": f"which page shows {number}", "passages": passages})
    return chats.written(tmp_path / "rows.jsonl", *made)


def test_two_steps_see_the_pages_as_inference_does(
    tmp_path: Path, base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
):
    plan = replace(PLAN, base=str(base))
    data = prepare(plan, rows)
    assert data.report["train"]["examples"] == 4
    backend = VisionBackend(str(base), device="cpu", dtype="float32")
    for example in data.examples:
        shown = backend._image_prompt(data.layout.request(example.group).prompt, 2000)
        assert list(example.ids) == shown.ids
    from trl import GRPOTrainer

    asked: list[list[int]] = []
    pixels = []
    single_turn = GRPOTrainer._generate_single_turn

    def watched(self, prompt_ids, images, fields, *arguments, **named):
        asked.extend(prompt_ids)
        pixels.append(torch.as_tensor(fields["pixel_values"]))
        return single_turn(self, prompt_ids, images, fields, *arguments, **named)

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", watched)
    seen: list[PassageGroup] = []

    def scripted(text: str, group: PassageGroup) -> float:
        seen.append(group)
        return text.count("e") / (len(text) + 1)

    loaded = model_class(plan).from_pretrained(base)
    trained = grpo.train(loaded, data, plan, tmp_path / "run", rewards={"scripted": scripted}, log_every=1)
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert trained.steps == 2
    assert all(math.isfinite(loss) for loss in losses)
    changed = {n for n, p in trained.model.named_parameters() if "lora_B" in n and p.abs().max() > 1e-4}
    assert changed
    assert all("language_model" in name for name in changed), "the vision tower is frozen"
    assert {tuple(ids) for ids in asked} <= {example.ids for example in data.examples}
    assert len(asked) == len(seen) == 8
    assert all(torch.isfinite(values).all() and values.abs().sum() > 0 for values in pixels)
    first = next(e for e in data.examples if e.group == seen[0])
    wanted = backend._image_prompt(data.layout.request(first.group).prompt, 2000).tensors["pixel_values"]
    assert torch.allclose(pixels[0][: len(wanted)].float().cpu(), wanted.float(), atol=1e-5)


def test_pages_are_never_cut(base: Path, rows: Path):
    data = prepare(replace(PLAN, base=str(base)), rows)
    longest = data.report["train"]["longest"]
    fewer = prepare(replace(PLAN, base=str(base), cutoff=longest - 1), rows)
    assert fewer.report["train"]["dropped"] >= 1
    assert all(example.cut_passage == 0 for example in fewer.examples)


def test_what_images_cannot_be_used_for(tmp_path: Path, base: Path, rows: Path):
    one_part = replace(PLAN.optimiser, part=2)
    listed = replace(
        PLAN, base=str(base), objective="listwise-sft", reasoning=False, grpo=None, optimiser=one_part
    )
    with pytest.raises(InputError, match=r"line 1: there are images, which only objective grpo"):
        prepare(listed, rows)
    with pytest.raises(InputError, match="line 1: there are images"):
        prepare(replace(PLAN, recipe="reasonrank", base=str(chats.build(tmp_path / "blind"))), rows)


def test_a_page_text_that_holds_a_marker_is_named(tmp_path: Path, base: Path, rows: Path):
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    lines[2]["passages"][0]["text"] = "a page that says <|im_end|>"
    chats.written(rows, *lines)
    with pytest.raises(InputError, match=r"line 3: the model's processor makes other tokens"):
        prepare(replace(PLAN, base=str(base)), rows)


def test_needs_are_estimated_without_weights(base: Path):
    found = estimate(replace(PLAN, base=str(base)), {"examples": 10, "tokens": 1000, "longest": 100})
    loaded = model_class(PLAN).from_pretrained(base)
    assert found["parameters"] == sum(p.numel() for p in loaded.parameters())
    adapted = with_adapters(loaded, PLAN)
    assert found["trained"] == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
