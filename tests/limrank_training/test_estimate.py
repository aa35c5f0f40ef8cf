"""Estimates against sums worked out by hand from a model that is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chats
import pytest
import tiny
import transformers

from limrank_training.adapters import with_adapters
from limrank_training.estimate import estimate
from limrank_training.generation_needs import Machine, writing_needs
from limrank_training.plans import GrpoSettings, LoraSettings, OptimiserSettings, Plan

SIZE = {"examples": 10, "tokens": 4000, "longest": 500}
MACHINE = Machine(teraflops=1e-6, terabytes=1e-6, launch=0.0)  # so small that nothing is rounded away
PLAN = Plan(
    "p",
    optimiser=OptimiserSettings(epochs=2, batch=4, part=2),
    lora=LoraSettings(r=4, alpha=8),
    precision="float32",
)
GRPO = replace(
    PLAN, objective="grpo", recipe="rank-r1", grpo=GrpoSettings(generations=4, completion=100, beta=0.0)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chats.build(tmp_path_factory.mktemp("base"))


def sizes(plan: Plan) -> tuple[int, int]:
    """Numbers of the base, and of what is trained."""
    model = tiny.model(tokens=chats.tokenizer(), max_position_embeddings=4096)
    base = sum(p.numel() for p in model.parameters())
    return base, sum(p.numel() for p in with_adapters(model, plan).parameters() if p.requires_grad)


@pytest.mark.parametrize(
    "lora", [None, LoraSettings(r=4, alpha=8), LoraSettings(r=2, alpha=4, embeddings=True)]
)
def test_parameters_are_those_of_the_loaded_model(base: Path, lora: LoraSettings | None):
    plan = replace(PLAN, base=str(base), lora=lora)
    found = estimate(plan, SIZE)
    assert (found["parameters"], found["trained"]) == sizes(plan)


def test_hours_count_every_pass(base: Path):
    plan = replace(PLAN, base=str(base))
    total, _ = sizes(plan)
    hour = MACHINE.teraflops * 1e12 * 3600
    for changed, passes in (
        (plan, 4),
        (replace(plan, lora=None), 6),
        (replace(plan, recompute=True), 6),
        (replace(plan, lora=None, recompute=True), 8),
    ):
        hours = estimate(changed, SIZE, MACHINE)["gpu_hours"]
        assert hours == pytest.approx(passes * total * 2 * 4000 / hour, abs=0.01)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shape of Qwen2.5-7B, without weights."""
    config = transformers.Qwen2Config(
        vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4, tie_word_embeddings=False,
    )  # fmt: skip
    place = tmp_path_factory.mktemp("large")
    config.save_pretrained(place)
    return str(place)


def test_what_is_trained_takes_sixteen_bytes_a_number(large: str):
    """A weight, its gradient and two moments, of 4 bytes each; a frozen one takes its precision's."""
    size = SIZE | {"longest": 0}  # no activations
    plan = replace(PLAN, base=large, precision="bfloat16")
    for lora, frozen in ((None, 0), (LoraSettings(embeddings=True), 2), (LoraSettings(four_bit=True), 0.5)):
        found = estimate(replace(plan, lora=lora), size)
        total = found["parameters"]
        assert total == 7_615_616_512
        assert found["gigabytes"] == round((frozen * total + 16 * found["trained"]) / 1e9, 1)


def test_memory_is_that_of_learning_or_of_writing(large: str):
    plan = replace(GRPO, base=large, precision="bfloat16")
    found = estimate(plan, SIZE)
    held = 2 * found["parameters"] + 16 * found["trained"]
    logits = 2 * 100 * 152_064 * 10  # of the answers alone
    learning = 2 * 600 * 3584 * 28 * 17 * 2 + logits
    writing = 16 * 600 * (2 * 28 * 4 * 128 * 2) + 16 * 152_064 * 4
    assert learning > writing
    assert found["gigabytes"] == round((held + learning) / 1e9, 1)
    many = replace(plan, optimiser=replace(plan.optimiser, batch=400))
    assert estimate(many, SIZE)["gigabytes"] == round((held + 100 * writing) / 1e9, 1)
    whole = replace(plan, lora=None, grpo=replace(plan.grpo, beta=0.04))
    both = 20 * found["parameters"]  # with the model before training
    assert estimate(whole, SIZE)["gigabytes"] == round((both + learning) / 1e9, 1)


def test_answers_are_counted(base: Path):
    plan = replace(GRPO, base=str(base), optimiser=replace(PLAN.optimiser, part=8))
    total, _ = sizes(plan)
    hour = MACHINE.teraflops * 1e12 * 3600
    tokens = 2 * 4 * (4000 + 10 * 100)  # epochs, answers, prompts and answers
    for grpo, passes in (
        (plan.grpo, 4),
        (replace(plan.grpo, beta=0.04), 4 + 2),
        (replace(plan.grpo, iterations=2), 2 * 4 + 2),
        (replace(plan.grpo, ahead=2), 4 + 2),
    ):
        found = estimate(replace(plan, grpo=grpo), SIZE, MACHINE)
        learning = found["gpu_hours"] - found["writing"]["gpu_hours"]
        assert learning == pytest.approx(passes * total * tokens / hour, abs=0.02)


def test_writing_is_a_pass_for_each_token_of_all_answers(base: Path):
    text = tiny.model(tokens=chats.tokenizer()).config
    keys = 2 * 2 * 2 * 8 * 4  # key and value, layers, heads, their size, bytes
    total, width, at_once = 1000, 4, 4 * 4
    read = Machine(teraflops=1e9, terabytes=1e-9, launch=0.0)
    needs = writing_needs(GRPO, text, SIZE, total, width, read)
    assert (needs.at_once, needs.cache) == (at_once, at_once * (500 + 100) * keys)
    a_pass = (total * width + at_once * (400 + 50) * keys) / 1e3
    assert needs.rate == pytest.approx(at_once / a_pass)
    passes = 2 * 10 * 4 / at_once * 100  # epochs, prompts, answers; then tokens of an answer
    assert needs.hours == pytest.approx(passes * a_pass / 3600)
    launched = writing_needs(GRPO, text, SIZE, total, width, Machine(1e9, 1e9, 0.5))
    assert launched.rate == at_once / 0.5
    fast = replace(GRPO, grpo=replace(GRPO.grpo, vllm=True))
    assert writing_needs(fast, text, SIZE, total, width, Machine(1e9, 1e9, 0.5)).rate > 1e9


def test_a_base_that_is_not_here_has_no_estimate():
    assert estimate(replace(PLAN, base="/nowhere/at/all"), SIZE) is None
