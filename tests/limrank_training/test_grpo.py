"""GRPO on tiny random models: the tokens of inference go in, the texts of inference are rewarded."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import chats
import pytest
import tiny
import torch
from rounding import same_training

from limrank_plugins import Reranker
from limrank_plugins.errors import BackendError, InputError
from limrank_training import grpo
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.plans import (
    GrpoSettings,
    ListSettings,
    LoraSettings,
    OptimiserSettings,
    Plan,
    load_plan,
)
from limrank_training.training_data import TrainingData, prepare
from limrank_training.training_run import train as run

torch.set_num_threads(1)
PLAN = Plan(
    "test",
    objective="grpo",
    recipe="rank-r1",
    tokens=(),
    lora=LoraSettings(r=4, alpha=8),
    optimiser=OptimiserSettings(
        rate=1e-2, schedule="constant", warmup=0.0, steps=2, batch=2, part=4, clip=1.0
    ),
    lists=ListSettings(shuffle=True),
    precision="float32",
    cutoff=4096,
    dev=0.0,
    seed=3,
    grpo=GrpoSettings(generations=4, completion=12),
)
END = chats.tokenizer().eos_token_id


def prepared(folder: Path, plan: Plan = PLAN, rows: int = 4) -> TrainingData:
    made = [chats.group(i % 4, order=[i % 4, *(j for j in range(4) if j != i % 4)]) for i in range(rows)]
    for number, row in enumerate(made):
        row["query"] += f" {number} <|im_end|> [2] </think>"
    return prepare(plan, chats.written(folder / "rows.jsonl", *made), chats.tokenizer())


def model() -> torch.nn.Module:
    return tiny.model(tokens=chats.tokenizer(), max_position_embeddings=4096)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


class Scripted:
    """A reward that remembers what it was asked, and is the share of an 'e' in the text."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, PassageGroup]] = []

    def __call__(self, text: str, group: PassageGroup) -> float:
        self.seen.append((text, group))
        return text.count("e") / (len(text) + 1)


def test_two_steps_change_the_model_and_the_tokens_are_those_of_inference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = prepared(tmp_path)
    asked: list[list[int]] = []
    answered: list[list[int]] = []
    from trl import GRPOTrainer

    single_turn = GRPOTrainer._generate_single_turn

    def watched(self, prompt_ids, *arguments, **named):
        found = single_turn(self, prompt_ids, *arguments, **named)
        asked.extend(prompt_ids)
        answered.extend(found[0])
        return found

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", watched)
    reward = Scripted()
    begun = model()
    before = {name: p.clone() for name, p in begun.named_parameters()}
    trained = grpo.train(begun, data, PLAN, tmp_path / "run", rewards={"scripted": reward}, log_every=1)
    assert trained.steps == 2
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    after = weights(trained.model)
    assert any(p.abs().max() > 1e-3 for name, p in after.items() if "lora_B" in name), "they begin as zeros"
    rest = {name.replace("base_model.model.", "").replace(".base_layer", ""): p for name, p in
            trained.model.named_parameters() if "lora_" not in name}  # fmt: skip
    assert all(torch.equal(rest[name], p) for name, p in before.items()), "only the adapters change"
    # What went in: each prompt as a reranker asks it, the query's markers and labels harmless.
    encoder = data.layout.encoder
    wanted = {tuple(encoder.encode(data.layout.request(e.group).prompt).ids) for e in data.examples}
    assert {tuple(ids) for ids in asked} == wanted
    assert all(ids.count(END) == 2 for ids in asked)
    assert len(asked) == len(answered) == len(reward.seen) == 16
    # What came out: the words the readout would be given, markers and all, without the end of the turn.
    for ids, (text, group) in zip(answered, reward.seen, strict=True):
        assert text == encoder.decode(ids[:-1] if ids[-1] == END else ids)
        assert group in [e.group for e in data.examples]
    groups = [group for _, group in reward.seen]
    assert [groups[i] == groups[i + 1] for i in range(0, 16, 4)] == [True] * 4


def test_all_weights_with_a_reference_and_several_passes(tmp_path: Path):
    base = chats.build(tmp_path / "base")
    plan = replace(
        PLAN, base=str(base), lora=None, recompute=True,
        optimiser=replace(PLAN.optimiser, steps=None, epochs=1.0, part=2, rate=1e-3),
        grpo=GrpoSettings(
            generations=2, completion=8, beta=0.1, iterations=2, ahead=2, loss="bnpo", weights=(2.0,)
        ),
    )  # fmt: skip
    data = prepared(tmp_path, plan, rows=9)
    assert grpo.total_steps(plan, len(data.examples)) == 8
    reward = Scripted()
    loaded = tiny.transformers.AutoModelForCausalLM.from_pretrained(base)
    trained = grpo.train(loaded, data, plan, tmp_path / "run", rewards={"scripted": reward}, log_every=1)
    assert trained.steps == 8
    assert len(reward.seen) == 16, "two rounds of four prompts, each answered twice"
    entries = [entry for entry in trained.history if "loss" in entry]
    assert all(math.isfinite(entry["loss"]) for entry in entries)
    assert max(entry["kl"] for entry in entries) > 0
    assert entries[0]["reward"] == pytest.approx(2 * entries[0]["rewards/scripted/mean"])


def test_resuming_gives_the_weights_of_an_uninterrupted_run(tmp_path: Path):
    class Killed(Exception):
        pass

    class Kill(tiny.transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 3:
                raise Killed

    plan = replace(PLAN, checkpoints=2, optimiser=replace(PLAN.optimiser, steps=None, epochs=2.0))
    data = prepared(tmp_path, plan)
    given = {"rewards": {"scripted": Scripted()}}
    whole = grpo.train(model(), data, plan, tmp_path / "whole", **given)
    with pytest.raises(Killed):
        grpo.train(model(), data, plan, tmp_path / "killed", callbacks=[Kill()], **given)
    again = grpo.train(model(), data, plan, tmp_path / "killed", resume=True, **given)
    assert (whole.steps, again.steps) == (4, 4)
    same_training(weights(whole.model), weights(again.model), 1e-2)


def test_a_run_is_exported_and_goes_on(tmp_path: Path):
    base = chats.build(tmp_path / "base")
    plan = replace(PLAN, base=str(base), optimiser=replace(PLAN.optimiser, steps=None, epochs=1.0))
    data = prepared(tmp_path, plan)
    trained = run(plan, data, tmp_path / "run", log_every=1)
    assert trained.steps == 2
    names = {place.name for place in (tmp_path / "run").iterdir()}
    assert names >= {"adapter", "checkpoints", "final", "history.jsonl", "plan.json", "report.json"}
    assert sorted(p.name for p in (tmp_path / "run/adapter").iterdir() if p.is_dir()) == [], (
        "no reference adapter"
    )
    card = json.loads((tmp_path / "run/final/limrank.json").read_text())
    assert (card["recipe"], card["reasoning"]) == ("rank-r1", "full")
    made = Reranker.from_pretrained(str(tmp_path / "run/final"), device="cpu", max_reasoning_tokens=8)
    assert sorted(made.rank("why milk", list(chats.TEXTS)).ids) == ["0", "1", "2", "3"]
    again = run(plan, data, tmp_path / "run", log_every=1)
    assert again.steps == 2


def test_what_is_no_number_names_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = prepared(tmp_path)
    with pytest.raises(BackendError, match=r"reward 'broken' of an answer to .*rows\.jsonl, line \d is inf"):
        grpo.train(model(), data, PLAN, tmp_path / "a", rewards={"broken": lambda text, group: math.inf})
    damaged = model()
    with torch.no_grad():
        damaged.get_output_embeddings().weight[7] = float("nan")
    with pytest.raises(BackendError, match=r"not finite at step 1, for: .*line \d"):
        grpo.train(damaged, data, PLAN, tmp_path / "b", rewards={"scripted": Scripted()})
    from trl import GRPOTrainer

    monkeypatch.setattr(GRPOTrainer, "compute_loss", lambda *_, **__: torch.tensor(float("nan")))
    with pytest.raises(BackendError, match=r"loss at step 1 is nan, for answers to: .*line \d"):
        grpo.train(model(), data, PLAN, tmp_path / "c", rewards={"scripted": Scripted()})


def test_too_few_prompts_and_rows_without_truth(tmp_path: Path):
    with pytest.raises(InputError, match="there are only 1"):
        grpo.train(model(), prepared(tmp_path, rows=1), PLAN, tmp_path / "run")
    row = {"query": "q", "passages": [{"text": "a"}, {"text": "b"}]}
    path = chats.written(tmp_path / "bare.jsonl", chats.group(), row)
    for recipe in ("rank-r1", "reasonrank", "mm-r5"):
        with pytest.raises(InputError, match=r"bare\.jsonl, line 2: "):
            prepare(replace(PLAN, recipe=recipe), path, chats.tokenizer())
    with pytest.raises(InputError, match="reads something else"):
        prepare(replace(PLAN, recipe="setwise", reasoning=False), path, chats.tokenizer())


def test_new_tokens_need_adapters_or_no_reference(tmp_path: Path):
    plan = replace(PLAN, lora=None, tokens=("<new>",))
    with pytest.raises(InputError, match=r"tokens \['<new>'\] are new"):
        grpo.train(model(), prepared(tmp_path, plan), plan, tmp_path / "run")


@pytest.mark.parametrize("name", ["rank-r1", "reasonrank", "mm-r5"])
def test_every_default_of_the_library_that_matters_is_set(tmp_path: Path, name: str):
    plan = load_plan(name, {"precision": "float32"})
    made = grpo.grpo_arguments(plan, 1000, tmp_path, 10)
    wanted = plan.grpo
    assert (made.beta, made.loss_type, made.scale_rewards) == (wanted.beta, wanted.loss, wanted.scale)
    assert (made.num_generations, made.max_completion_length) == (wanted.generations, wanted.completion)
    assert (made.temperature, made.top_p, made.top_k) == (wanted.temperature, wanted.top_p, wanted.top_k)
    assert (made.epsilon, made.num_iterations) == (wanted.epsilon, wanted.iterations)
    assert made.use_bias_correction_kl is False
    assert made.gradient_checkpointing is True  # the name that both versions read
    assert made.bf16 is False
    answers = made.per_device_train_batch_size * made.gradient_accumulation_steps
    assert answers == plan.optimiser.batch * wanted.generations
    assert made.generation_batch_size == answers * wanted.ahead
    import yaml

    import limrank_training.plans as plans

    text = plans._shipped().joinpath(f"{name}.yaml").read_text()
    written = set(yaml.safe_load(text)["grpo"])
    wanted = "generations completion temperature top_p top_k beta loss scale epsilon iterations importance"
    assert written >= {*wanted.split(), "mask_truncated", "corrected_kl"}
