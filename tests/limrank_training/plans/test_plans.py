"""Plans: the shipped ones, what a file may hold, and how wrong settings are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from limrank_plugins.errors import InputError
from limrank_training.plans import Plan, load_plan, plan_names


@pytest.mark.parametrize("name", plan_names())
def test_shipped_plans_load_and_say_what_they_are(name: str):
    plan = load_plan(name)
    assert plan.name == name
    assert plan.about
    answers = plan.grpo.generations if plan.grpo is not None else 1
    assert plan.optimiser.batch * answers % plan.optimiser.part == 0


def test_the_paper_and_the_released_settings():
    paper, released = load_plan("limrank-7b-paper"), load_plan("limrank-7b-released")
    for plan, rate, epochs, batch in ((paper, 6e-5, 5, 128), (released, 3e-5, 7, 64)):
        assert (plan.base, plan.lora.r, plan.lora.alpha) == ("Qwen/Qwen2.5-7B", 32, 64)
        assert (plan.optimiser.rate, plan.optimiser.epochs, plan.optimiser.batch) == (rate, epochs, batch)
        assert (plan.optimiser.schedule, plan.optimiser.warmup, plan.cutoff) == ("cosine", 0.03, 2500)
        assert any("3e-5" in line and "6e-5" in line for line in plan.disagrees)
    assert (paper.end, paper.tokens) == (False, ("<think>", "</think>"))


def test_settings_can_be_changed_by_dotted_names():
    plan = load_plan("direct", {"optimiser.rate": "1e-3", "base": "folder", "lora.r": 8})
    assert (plan.optimiser.rate, plan.base, plan.lora.r, plan.lora.alpha) == (1e-3, "folder", 8, 64)
    assert load_plan("direct", {"lora": None}).lora is None


def test_a_file_is_a_plan(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: b\noptimiser: {rate: 1e-4, epochs: 2, batch: 8, part: 8}\n")
    plan = load_plan(str(path))
    assert (plan.name, plan.optimiser.rate, plan.optimiser.epochs) == ("mine", 1e-4, 2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nosuch: 1", "nosuch"),
        ("optimiser: {lr: 1}", "there is no field 'optimiser.lr'; there are: rate, schedule, warmup"),
        ("optimiser: 3", "optimiser: Input should be an object, but got 3"),
        ("optimiser: {rate: fast}", "optimiser.rate: Input should be a valid number, but got 'fast'"),
        ("optimiser: {rate: 0}", "optimiser.rate must be a number > 0"),
        ("optimiser: {batch: 6, part: 4}", "multiple of optimiser.part=4"),
        ("optimiser: {warmup: 1.0}", "warmup"),
        ("optimiser: {batch: 2.5}", "optimiser.batch: Input should be a valid integer, but got 2.5"),
        (
            "optimiser: {schedule: step}",
            "optimiser.schedule: Input should be 'constant', 'linear' or 'cosine', but got 'step'",
        ),
        ("reasoning: 1", "reasoning: Input should be a valid boolean, but got 1"),
        ("reasoning: false\nshare: 0.5", "reasoning: true"),
        ("share: 0", "share"),
        ("objective: rl", "sft"),
        ("objective: grpo", "a table grpo"),
        ("grpo: {beta: 0.1}", "a table grpo"),
        ("objective: first\nreasoning: false", "a table joint"),
        ("objective: first\nreasoning: false\npacked: true\njoint: {}", "packed"),
        ("objective: first\nreasoning: false\njoint: {loss: lambda}", "ranknet, listnet"),
        ("loss: ranknet", "one of likelihood with objective sft, but got 'ranknet'"),
        ("objective: grpo\nloss: likelihood\ngrpo: {}", "left out with objective grpo"),
        ("objective: first\nreasoning: false\njoint: {wieght: 1}", "joint.wieght"),
        ("objective: grpo\ngrpo: {generations: 1}", "grpo.generations"),
        ("objective: grpo\ngrpo: {generations: 2}\noptimiser: {batch: 3, part: 4}", "grpo.generations=2"),
        (
            "objective: grpo\ngrpo: {loss: ppo}",
            "grpo.loss: Input should be 'grpo', 'bnpo', 'dapo' or 'dr_grpo'",
        ),
        ("objective: grpo\ngrpo: {beta: -1}", "grpo.beta"),
        ("objective: grpo\ngrpo: {top_p: 0}", "grpo.top_p"),
        ("objective: grpo\ngrpo: {weights: [a]}", "grpo.weights.0: Input should be a valid number"),
        ("objective: grpo\ngrpo: {max_prompt_length: 9}", "grpo.max_prompt_length"),
        ("objective: setwise-sft\nlists: {shuffle: true}", "lists.shuffle"),
        ("objective: setwise-sft\nshare: 0.5", "share and learned"),
        ("lists: {size: 1}", "lists.size"),
        ("optimiser: {neftune: -1}", "optimiser.neftune"),
        ("tokens: think", "tokens: Input should be a valid array, but got 'think'"),
        ("dev: 1", "dev"),
        ("lora: {r: 0}", "lora.r"),
        ("- 1", "must hold names and their values"),
        ("a: [", "is not YAML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, said: str):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"\w") as raised:
        load_plan(str(path))
    assert said in str(raised.value)


def test_there_is_no_such_plan():
    with pytest.raises(InputError, match="limrank-7b-paper"):
        load_plan("limrank-7b")
    with pytest.raises(InputError, match="no plan file"):
        load_plan("nowhere.yaml")


def test_defaults_are_a_plan():
    assert Plan("x").as_json()["optimiser"]["batch"] == 128
