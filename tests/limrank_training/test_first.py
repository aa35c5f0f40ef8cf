"""Training FIRST: a step is the hand-written one, however its batch is cut; and it learns to rank."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import chats
import pytest
import tiny
import torch
from encoder_rows import same_step
from rounding import same_training

from limrank_plugins import Reranker
from limrank_plugins.errors import BackendError, InputError
from limrank_training.adapters import with_adapters
from limrank_training.data.collation import collate
from limrank_training.first import FirstCriterion, joint_weight, train
from limrank_training.losses import LOSSES, Loss
from limrank_training.plans import (
    FirstSettings,
    LoraSettings,
    OptimiserSettings,
    Plan,
    WatchSettings,
    load_plan,
)
from limrank_training.sft import TrainingResult
from limrank_training.training_data import TrainingData, prepare
from limrank_training.training_run import train as run

torch.set_num_threads(1)
PLAN = Plan(
    "test",
    objective="first",
    recipe="first",
    reasoning=False,
    tokens=(),
    end=True,
    joint=FirstSettings(),
    lora=LoraSettings(r=4, alpha=8),
    optimiser=OptimiserSettings(
        rate=1e-2, schedule="constant", warmup=0.0, steps=1, batch=4, part=4, clip=0.0
    ),
    precision="float32",
    cutoff=4096,
    dev=0.0,
    seed=3,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    folder = tmp_path_factory.mktemp("first")
    rows = [chats.group(i % 4, order=[i % 4, *(j for j in (2, 0, 3, 1) if j != i % 4)]) for i in range(6)]
    rows[4]["passages"] = rows[4]["passages"][:3]  # lists of other lengths, and ties
    rows[4].pop("order")
    rows += [chats.group(0), chats.group(1)]
    return prepare(PLAN, chats.written(folder / "rows.jsonl", *rows), chats.tokenizer())


def model() -> torch.nn.Module:
    return tiny.model(tokens=chats.tokenizer(), max_position_embeddings=4096)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def norms(trained: TrainingResult) -> list[float]:
    return [entry["grad_norm"] for entry in trained.history if "grad_norm" in entry]


def test_one_step_is_the_hand_written_one(tmp_path: Path, prepared: TrainingData):
    examples = [prepared.examples[i] for i in (0, 1, 4, 6)]
    trained = train(model(), replace(prepared, examples=examples), PLAN, tmp_path)
    adapted = with_adapters(model(), PLAN)
    adapted.train()
    optimiser = torch.optim.AdamW(
        [p for p in adapted.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0
    )
    total = 0.0
    for example in examples:  # one list after another, nothing padded, all written out
        logits = adapted(input_ids=torch.tensor([example.ids])).logits[0]
        learned = torch.tensor(example.ids[example.learned :])
        likelihood = torch.nn.functional.cross_entropy(logits[example.learned - 1 : -1], learned)
        z = logits[example.learned - 1][list(example.labels)]
        pairs = [
            torch.log1p(torch.exp(z[j] - z[i])) / (example.ranks[i] + example.ranks[j])
            for i in range(len(z))
            for j in range(len(z))
            if example.ranks[i] < example.ranks[j]
        ]
        total = total + (likelihood + 10 * torch.stack(pairs).mean()) / len(examples)
    total.backward()
    optimiser.step()
    assert same_step(trained.model, adapted) > 500
    assert trained.history[0]["loss"] == pytest.approx(total.item(), abs=1e-4)


@pytest.mark.parametrize("part", [1, 2])
def test_a_batch_may_be_cut_into_parts(tmp_path: Path, prepared: TrainingData, part: int):
    plan = replace(PLAN, optimiser=replace(PLAN.optimiser, batch=8, part=8, steps=2))
    parts = replace(plan, optimiser=replace(plan.optimiser, part=part))
    whole = train(model(), prepared, plan, tmp_path / "whole")
    cut = train(model(), prepared, parts, tmp_path / "parts")
    same_training(weights(whole.model), weights(cut.model), 1e-2)
    assert norms(cut) == pytest.approx(norms(whole), rel=1e-3), "Adam hides a gradient too small by a factor"


def test_ranks_matter_beside_the_likelihood(tmp_path: Path, prepared: TrainingData):
    plain = replace(PLAN, joint=FirstSettings(weight=0.0))
    with_ranks = weights(train(model(), prepared, PLAN, tmp_path / "a").model)
    without = weights(train(model(), prepared, plain, tmp_path / "b").model)
    assert any(not torch.allclose(with_ranks[name], without[name], atol=1e-3) for name in without)


def test_recomputing_changes_nothing_and_noise_does(tmp_path: Path, prepared: TrainingData):
    plain = train(model(), prepared, PLAN, tmp_path / "a").model
    recomputed = train(model(), prepared, replace(PLAN, recompute=True), tmp_path / "b").model
    same_training(weights(plain), weights(recomputed), 1e-2)
    noisy = replace(PLAN, optimiser=replace(PLAN.optimiser, neftune=5.0))
    one, other = (train(model(), prepared, noisy, tmp_path / name).model for name in "cd")
    same_training(weights(one), weights(other), 1e-2)
    found, without = weights(one), weights(plain)
    assert any(not torch.allclose(found[name], without[name], atol=1e-3) for name in without)


def test_what_is_no_order_is_refused(prepared: TrainingData):
    with pytest.raises(InputError, match="an order with a label"):
        FirstCriterion().batch([replace(prepared.examples[0], labels=())], 0)
    with pytest.raises(InputError, match="an order with a label"):
        FirstCriterion().batch([replace(prepared.examples[0], learned=4)], 0)


def test_a_loss_that_is_no_number_names_its_rows(tmp_path: Path, prepared: TrainingData):
    broken = model()
    with torch.no_grad():
        broken.get_output_embeddings().weight[7] = float("nan")
    with pytest.raises(BackendError, match=r"step 1 is nan, for: .*rows\.jsonl, line \d"):
        train(broken, prepared, PLAN, tmp_path)


def test_a_run_ends_in_a_reranker_that_ranks_what_it_learned(tmp_path: Path):
    base = chats.build(tmp_path / "base")
    rows = chats.written(tmp_path / "rows.jsonl", *[chats.group(i % 4) for i in range(8)])
    plan = replace(
        PLAN, base=str(base), lists=replace(PLAN.lists, shuffle=True),
        optimiser=replace(PLAN.optimiser, steps=50, batch=4, part=4, rate=2e-2),
    )  # fmt: skip
    data = prepare(plan, rows)
    trained = run(plan, data, tmp_path / "run", log_every=20)
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert losses[-1] < 0.4 * losses[0]
    card = json.loads((tmp_path / "run/final/limrank.json").read_text())
    assert (card["recipe"], card["reasoning"]) == ("first", "none")
    made = Reranker.from_pretrained(str(tmp_path / "run/final"), device="cpu")
    for example in data.examples:
        shown = [p.text for p in example.group.passages]
        ranking = made.rank(example.group.query, shown)
        assert ranking.ids[0] == str(example.group.chosen())


def test_the_shipped_plan_is_the_reproductions():
    plan = load_plan("first")
    assert (plan.base, plan.optimiser.rate, plan.optimiser.epochs) == (
        "mistralai/Mistral-7B-Instruct-v0.3",
        5e-6,
        3,
    )
    assert (plan.joint, plan.optimiser.neftune, plan.lora) == (
        FirstSettings(True),
        5.0,
        None,
    )
    assert any("run_train.sh" in line for line in plan.disagrees)


def test_padding_reaches_no_list(prepared: TrainingData):
    orders = FirstCriterion()
    batch = orders.batch(prepared.examples, 0)
    assert batch["input_ids"].shape == collate(prepared.examples, 0)["input_ids"].shape
    network = model()
    with torch.no_grad():
        whole = orders.total(
            network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch
        )
        singles = 0.0
        for example in prepared.examples:
            one = orders.batch([example], 0)
            singles += orders.total(network(input_ids=one["input_ids"]).logits, one)
    assert whole.item() == pytest.approx(singles.item(), rel=1e-5)
    assert orders.count(batch) == len(prepared.examples)


def test_a_row_in_the_table_of_losses_is_all_that_a_new_loss_needs(
    tmp_path: Path, prepared: TrainingData, monkeypatch: pytest.MonkeyPatch
):
    def spread(scores: torch.Tensor, ranks: torch.Tensor, *, weighted: bool) -> torch.Tensor:
        return scores.var() * (2 if weighted else 1)

    monkeypatch.setitem(LOSSES, "spread", Loss(spread, ("first",), ("weighted",)))
    with pytest.raises(
        InputError, match=r"one of ranknet, listnet, spread with objective first, but got 'a'"
    ):
        replace(PLAN, loss="a")
    joint = FirstSettings(weight=100.0)
    plans = [replace(PLAN, loss=name, joint=joint) for name in ("ranknet", "listnet", "spread")]
    plans.append(replace(plans[-1], joint=FirstSettings(weighted=False, weight=100.0)))
    losses = [
        train(model(), prepared, plan, tmp_path / str(i)).history[0]["loss"] for i, plan in enumerate(plans)
    ]
    assert len(set(losses)) == 4
    assert (
        losses[0] == train(model(), prepared, replace(PLAN, joint=joint), tmp_path / "d").history[0]["loss"]
    )


@pytest.mark.parametrize(
    ("joint", "loss", "weight"),
    [
        (FirstSettings(), None, 10.0),
        (FirstSettings(), "ranknet", 10.0),
        (FirstSettings(weighted=False), "ranknet", 1.0),
        (FirstSettings(), "listnet", 0.1),
        (FirstSettings(weight=2.0), "listnet", 2.0),
        (FirstSettings(), "spread", 1.0),
    ],
)
def test_the_weight_of_a_ranking_loss_is_the_released_one(
    joint: FirstSettings, loss: str | None, weight: float
):
    """gangiswag/llm-reranker 2d7cba4, train_ranking.py: .1 for ListNet, 10 for weighted RankNet, else 1."""
    assert joint_weight(joint, loss) == weight


def test_a_plan_of_before_names_its_loss_in_the_table_joint(tmp_path: Path):
    (tmp_path / "p.yaml").write_text(
        "objective: first\nreasoning: false\njoint: {loss: listnet, weight: 2}\n"
    )
    plan = load_plan(str(tmp_path / "p.yaml"))
    assert (plan.loss, plan.joint) == ("listnet", FirstSettings(weight=2.0))
    listwise = load_plan("first", {"joint.loss": "listnet"})
    assert (listwise.loss, joint_weight(listwise.joint, listwise.loss)) == ("listnet", 0.1)
    watched = load_plan("limrank-7b-paper", {"watch.thought": 9})
    assert watched.watch == WatchSettings(max_reasoning_tokens=9)
