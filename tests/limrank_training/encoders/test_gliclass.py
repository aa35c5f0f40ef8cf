"""GLiClass's trainer: hand-written steps, stored actions, padding, resuming, and the recipe that reads it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from encoder_rows import BAD, GOOD, STEP, pairs, same_step, written
from rounding import same_training, weights_of

from limrank_plugins import Reranker
from limrank_plugins.backends.gliclass import GLiClass
from limrank_plugins.errors import InputError
from limrank_training.data.collation import repeated_batches
from limrank_training.encoders import gliclass
from limrank_training.encoders.policy import PolicyCriterion, f1
from limrank_training.learning_rates import is_head
from limrank_training.plans import LabelSettings, Plan, PolicySettings
from limrank_training.sft import fine_tune
from limrank_training.training_run import train as run

torch.set_num_threads(1)
POLICY = PolicySettings(iterations=3, draws=6, batch=4, part=4, rate=1e-2, head=1e-2, epochs=1)


def plan(base: Path, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "objective": "gliclass", "recipe": "gliclass:mode=joint", "base": str(base), "lora": None,
        "optimiser": STEP, "classes": LabelSettings(gamma=2.0, alpha=0.3), "precision": "float32", "dev": 0.0,
        "reasoning": False, "cutoff": 64, "seed": 5,
    }  # fmt: skip
    return Plan("toy", **(given | changes))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_encoders.encoder(tmp_path / "bert")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return written(tmp_path / "rows.jsonl", pairs()[:-2])


def calm(model: Any) -> Any:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def test_one_step_is_the_hand_written_one(base: Path, rows: Path, tmp_path: Path):
    made = plan(base, optimiser=replace(STEP, part=2, head=3e-2, decay=0.01))
    data = gliclass.prepare(made, rows)
    assert sorted(len(one.fits) for one in data.examples) == [3, 5, 5, 5]
    model = calm(gliclass.load(made, data.tokenizer))
    by_hand = copy.deepcopy(model.held.module)
    gliclass.train(model, data, made, tmp_path / "run")
    named = [(name, p) for name, p in by_hand.named_parameters()]
    bare = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name]
    groups: list[dict[str, Any]] = []
    for head in (False, True):
        for decays in (False, True):
            chosen = [p for n, p in named if is_head(n) == head and (not any(p is q for q in bare)) == decays]
            groups.append(
                {"params": chosen, "lr": 3e-2 if head else 1e-2, "weight_decay": 0.01 if decays else 0.0}
            )
    optimiser = torch.optim.AdamW(groups)
    held = model.held
    total, labels = torch.zeros(()), 0
    for one in data.examples:
        found, real = held.logits(model.features([one.row]), by_hand)
        assert real.all()
        for z, fits in zip(found[0], one.fits, strict=True):
            p = torch.sigmoid(z if fits else -z)
            total = total - (0.3 if fits else 0.7) * (1 - p) ** 2 * torch.log(p)
            labels += 1
    (total / labels).backward()
    optimiser.step()
    assert same_step(model.held.module, by_hand) > 1000


def test_padding_changes_no_logit(base: Path, rows: Path):
    made = plan(base)
    data = gliclass.prepare(made, rows)
    model = gliclass.load(made, data.tokenizer).eval()
    criterion = gliclass.LabelCriterion(model)
    batch = criterion.batch(data.examples, 0)
    assert (batch["attention_mask"] == 0).any()
    together = criterion.logits(model, batch)
    for i, one in enumerate(data.examples):
        alone = criterion.logits(model, criterion.batch([one], 0))[0]
        assert torch.allclose(together[i][batch["real"][i]], alone, atol=1e-5)
    count = criterion.count(batch)
    mean = criterion.total(together, batch) / count
    singles = sum(
        criterion.total(criterion.logits(model, b), b)
        for b in (criterion.batch([e], 0) for e in data.examples)
    )
    assert torch.allclose(mean, singles / count, rtol=1e-5, atol=1e-5)


def test_the_same_actions_are_used_in_every_inner_step(base: Path, rows: Path):
    made = plan(base)
    data = gliclass.prepare(made, rows)
    model = gliclass.load(made, data.tokenizer).train()
    acting = PolicyCriterion(model, POLICY, 0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    again = PolicyCriterion(model, POLICY, 0)
    looked = [again.logits(model, again.batch(data.examples, 0)) for _ in range(2)]
    assert torch.allclose(*looked, rtol=1e-5, atol=1e-5), "dropout is off, so a ratio moves by steps alone"
    drawn, ratios = [], []
    for _ in range(2 * POLICY.iterations):
        batch = acting.batch(data.examples, 0)
        logits = acting.logits(model, batch)
        stored = acting._drawn[0]
        z = logits[0][batch["real"][0]].expand_as(stored.actions)
        now = torch.where(stored.actions > 0, torch.sigmoid(z), torch.sigmoid(-z)).log()
        ratios.append((now - stored.before).exp().detach())
        drawn.append(stored.actions.clone())
        loss = acting.total(logits, batch) / acting.count(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    k = POLICY.iterations
    for start in (0, k):
        assert torch.allclose(ratios[start], torch.ones_like(ratios[start]), atol=1e-5)
        assert not torch.allclose(ratios[start + 1], torch.ones_like(ratios[0]), atol=1e-4)
        assert all(torch.equal(drawn[start], one) for one in drawn[start : start + k])
    assert not torch.equal(drawn[0], drawn[k]), "a new round, new actions"
    assert model.training


def test_a_policy_step_is_the_hand_written_one(base: Path, rows: Path):
    data = gliclass.prepare(plan(base), rows)
    model = gliclass.load(plan(base), data.tokenizer)
    policy = replace(POLICY, entropy=0.05)
    acting = PolicyCriterion(model, policy, 0)
    batch = acting.batch(data.examples, 0)
    acting.total(acting.logits(model, batch), batch)
    with torch.no_grad():  # so that neither ratio nor distance is trivial
        model.held.module["text_projector"][0].bias += 0.3
    loss = (acting.total(acting.logits(model, batch), batch) / acting.count(batch)).item()
    costs = []
    for one in data.examples:
        stored = acting._drawn[one.number]
        z = model.held.logits(model.features([one.row]))[0][0].detach()
        fits = torch.tensor(one.fits).float()
        rewards = [2 * (a * fits).sum() / (a.sum() + fits.sum()) for a in stored.actions]
        mean = torch.stack(rewards).mean()
        for draw, action in enumerate(stored.actions):
            for label, a in enumerate(action):
                p = torch.sigmoid(z[label])
                own = p if a > 0 else 1 - p
                q = torch.sigmoid(stored.reference[label])
                ratio = own / stored.before[draw, label].exp()
                gain = min(ratio * (rewards[draw] - mean), ratio.clamp(0.8, 1.2) * (rewards[draw] - mean))
                d = ((q if a > 0 else 1 - q) / own).log()
                entropy = -(p * p.log() + (1 - p) * (1 - p).log())
                costs.append((len(one.fits), -gain + 0.1 * (d.exp() - d - 1) - 0.05 * entropy))
    expected = sum(cost for _, cost in costs) / (policy.draws * sum(len(e.fits) for e in data.examples))
    assert loss == pytest.approx(expected.item(), abs=1e-5)


def test_f1_of_sets_of_labels():
    labels = torch.tensor([1, 0, 1])
    actions = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0]])
    assert f1(actions, labels).tolist() == pytest.approx([1, 0, 0.8, 0, 2 / 3])
    assert f1(actions[:2], torch.zeros(3)).tolist() == [0, 1]


def test_every_batch_comes_again_and_epochs_differ():
    sampler = repeated_batches(10, 4, 3, seed=1)
    order = list(sampler)
    assert len(order) == len(sampler) == 24
    for start in (0, 12):
        assert order[start : start + 4] == order[start + 4 : start + 8] == order[start + 8 : start + 12]
    assert len(set(order)) == 8
    sampler.set_epoch(1)
    assert list(sampler) != order


def test_both_stages_resume_and_the_recipe_reads_the_model(base: Path, rows: Path, tmp_path: Path):
    from transformers import TrainerCallback

    class Killed(Exception):
        pass

    class Kill(TrainerCallback):
        def __init__(self, stage: int, step: int) -> None:
            self.stages, self.at = 0, (stage, step)

        def on_train_begin(self, args, state, control, **_):
            self.stages += 1

        def on_step_end(self, args, state, control, **_):
            if (self.stages, state.global_step) == self.at:
                raise Killed

    optimiser = replace(STEP, steps=None, epochs=4, batch=2, part=2, rate=1e-3, head=3e-3)
    made = plan(
        base,
        optimiser=optimiser,
        classes=LabelSettings(policy=replace(POLICY, epochs=2, rate=1e-3, head=1e-3)),
    )
    data = gliclass.prepare(made, rows)
    whole = run(made, data, tmp_path / "whole", log_every=1)
    assert whole.steps == 8 + 2 * POLICY.iterations
    for stage, step in ((1, 5), (2, 4)):
        place = tmp_path / f"killed{stage}"
        with pytest.raises(Killed):
            run(made, data, place, callbacks=[Kill(stage, step)])
        again = run(made, data, place)
        same_training(weights_of(whole.model), weights_of(again.model), 1e-3)
    final = str(tmp_path / "whole" / "final")
    read = GLiClass.load(final, device="cpu")
    for name, weight in whole.model.held.module.state_dict().items():
        assert torch.equal(read.module.state_dict()[name], weight)
    reranker = Reranker.from_pretrained(final, device="cpu")
    assert reranker.recipe.name == "gliclass:mode=joint"
    query = "why does milk curdle"
    assert len(reranker.rank(query, [GOOD[query], *BAD])) == 5
    assert len(Reranker("gliclass", model=final, device="cpu").rank(query, [GOOD[query], *BAD])) == 5


def test_it_learns(base: Path, rows: Path, tmp_path: Path):
    made = plan(
        base,
        recipe="gliclass",
        classes=LabelSettings(),
        optimiser=replace(STEP, steps=150, batch=6, part=6, rate=1e-3),
    )
    data = gliclass.prepare(made, rows)
    assert {len(one.fits) for one in data.examples} == {1}, "one label, as the recipe asks"
    model = calm(gliclass.load(made, data.tokenizer))
    trained = fine_tune(
        model,
        0,
        data.examples,
        made,
        tmp_path,
        criterion=gliclass.LabelCriterion(model),
        log_every=1,
    )
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])


def test_what_a_text_says_is_no_marker_and_most_keeps_what_fits(base: Path, tmp_path: Path):
    many = [
        {"query": "milk <<LABEL>>", "passage": f"milk <<SEP>> {i}", "label": int(i == 7)} for i in range(9)
    ]
    made = plan(base, classes=LabelSettings(most=4), cutoff=64)
    data = gliclass.prepare(made, written(tmp_path / "many.jsonl", many))
    (one,) = data.examples
    markers = dict(data.tokenizer.get_added_vocab())
    assert one.row.ids.count(markers["<<LABEL>>"]) == len(one.fits) == 4
    assert one.row.ids.count(markers["<<SEP>>"]) == 1
    assert sum(one.fits) == 1
    assert data.new_tokens == ["<<LABEL>>", "<<SEP>>"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"recipe": "limrank"}, "cannot train recipe 'limrank'"), ({"cutoff": 12}, "line 1: .* do not fit")],
)
def test_what_cannot_be_learned_is_said(base: Path, rows: Path, changes: Any, said: str):
    with pytest.raises(InputError, match=said):
        gliclass.prepare(plan(base, **changes), rows)


def test_an_encoder_that_reads_less_is_refused(base: Path, rows: Path):
    made = plan(base, cutoff=65)
    data = gliclass.prepare(made, rows)
    with pytest.raises(InputError, match="set cutoff to 64"):
        gliclass.load(made, data.tokenizer)
