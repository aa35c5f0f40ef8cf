"""Rewards as the trainer calls them: the texts of inference, and nothing for those who game them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chats
import pytest
import tiny
import torch

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_training import grpo
from limrank_training.plans import GrpoSettings, ListSettings, Plan
from limrank_training.rewards.by_recipe import completion_text, rewards_for
from limrank_training.training_data import TrainingData, prepare

torch.set_num_threads(1)
END = chats.tokenizer().eos_token_id
PLAN = Plan(
    "test",
    objective="grpo",
    recipe="rank-r1",
    tokens=(),
    lists=ListSettings(shuffle=True),
    cutoff=4096,
    dev=0.0,
    grpo=GrpoSettings(generations=4),
)


def prepared(folder: Path, plan: Plan = PLAN) -> TrainingData:
    made = [chats.group(i, order=[i, *(j for j in range(4) if j != i)]) for i in range(4)]
    return prepare(plan, chats.written(folder / "rows.jsonl", *made), chats.tokenizer())


def test_the_text_is_that_of_the_backend_for_these_tokens(tmp_path: Path):
    data = prepared(tmp_path)
    folder = chats.build(tmp_path / "m")
    backend = TransformersBackend(str(folder), device="cpu", dtype="float32")
    network = tiny.transformers.AutoModelForCausalLM.from_pretrained(folder)
    example = data.examples[0]
    prompt = data.layout.request(example.group).prompt
    (reply,) = backend.generate([Generate(prompt, stop=(), max_tokens=12)])
    with torch.no_grad():
        ids = network.generate(
            torch.tensor([example.ids]), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
    found = ids[0, len(example.ids) :].tolist()
    assert completion_text(found, data.layout.encoder, {END}) == reply.text
    assert completion_text([*found, END], data.layout.encoder, {END}, "<think>") == f"<think>{reply.text}"


GOOD = "<think> so </think> <answer>[{}]</answer>"
GAMED = [
    "[{}]",
    "<answer>[{}]</answer>",
    "<think> <answer>[{}]</answer> </think>",
    GOOD + "<answer>[{}]</answer>",
    GOOD + " and more",
    "<think> so </think> <answer>[{}] [{}]</answer>",
    "<think> so </think> <answer>[{}]</answer><|im_end|>x",
]


def wrapped(data: TrainingData, plan: Plan = PLAN):
    """The rewards as the trainer calls them, fed with texts."""
    encoder = PromptEncoder(chats.tokenizer())

    def call(name: str, text: str, number: int) -> float:
        tokens = chats.tokenizer()(text, add_special_tokens=False)["input_ids"]
        judge = grpo._for_trl(
            name, rewards_for(data.layout.recipe)[name], data.examples, data.layout, frozenset({END}), ""
        )
        assert judge.__name__ == name
        assert encoder.decode(tokens) == text
        return judge(
            prompts=[""], completions=[""], completion_ids=[[*tokens, END]], number=[number], trainer_state=1
        )[0]

    return call


def test_gaming_the_choice_earns_nothing(tmp_path: Path):
    data = prepared(tmp_path)
    call = wrapped(data)
    for number, example in enumerate(data.examples):
        right = example.group.chosen() + 1
        assert call("choice", GOOD.format(right), number) == 1
        assert call("choice", GOOD.format(right % 4 + 1), number) == 0
        for wrong in (0, 5):
            assert call("choice", GOOD.format(wrong), number) == 0
        for gamed in GAMED:
            assert call("choice", gamed.format(right, right), number) == 0, gamed


def test_gaming_an_order_earns_nothing(tmp_path: Path):
    plan = replace(PLAN, recipe="reasonrank")
    data = prepared(tmp_path, plan)
    call = wrapped(data, plan)
    best = [i + 1 for i in data.examples[0].group.best_first()]
    shape = "<think> so </think> <answer>{}</answer>"

    def listed(labels) -> str:
        return shape.format(" > ".join(f"[{label}]" for label in labels))

    assert call("order", listed(best), 0) == pytest.approx(1.3)
    assert call("order", listed(best[::-1]), 0) < 1
    for wrong in ([best[0]] * 4, best[:3], [*best, best[0]], [0, *best[1:]], [5, *best[1:]]):
        assert call("order", listed(wrong), 0) == 0, wrong
    for gamed in (" > ".join(map(str, best)), listed(best) + listed(best), f"<think>{listed(best)}</think>"):
        assert call("order", gamed, 0) == -1, gamed


def test_gaming_images_earns_nothing(tmp_path: Path):
    plan = replace(PLAN, recipe="mm-r5")
    data = prepared(tmp_path, plan)
    call = wrapped(data, plan)
    best = [i + 1 for i in data.examples[0].group.best_first()]
    shape = "<think>so</think><answer>{}</answer>"
    assert call("images", shape.format(best), 0) == 1
    assert call("format", shape.format(best), 0) == 1
    assert call("images", shape.format(best[::-1]), 0) == pytest.approx(4**-3)
    assert call("format", shape.format([best[0]] * 4), 0) == 0.25
    for gamed in (str(best), shape.format(best) * 2, shape.format([0, 5])):
        assert call("images", gamed, 0) == 0, gamed
