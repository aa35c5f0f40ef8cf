"""The trainer against hand-written PyTorch: one step, any split of a batch, kill and resume, packing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from encoder_rows import same_step
from rounding import same_history, same_training

from limrank_plugins.errors import BackendError, InputError
from limrank_training.adapters import with_adapters
from limrank_training.checkpoints import last_checkpoint
from limrank_training.data.collation import collate, packs
from limrank_training.data.passage_layout import Example
from limrank_training.losses.next_token import token_loss
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan
from limrank_training.sft import fine_tune

torch.set_num_threads(1)
PLAN = Plan(
    "test",
    lora=LoraSettings(r=4, alpha=8),
    optimiser=OptimiserSettings(
        rate=1e-2, schedule="constant", warmup=0.0, steps=1, batch=4, part=4, clip=0.0
    ),
    precision="float32",
    seed=3,
)


def examples(count: int = 8, seed: int = 0) -> list[Example]:
    draw = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        length = int(torch.randint(6, 24, (1,), generator=draw))
        ids = torch.randint(5, 300, (length,), generator=draw).tolist()
        made.append(Example(tuple(ids), learned=length // 2, where=f"row {number}"))
    return made


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def changed(plan: Plan, **optimiser: object) -> Plan:
    return replace(plan, optimiser=replace(plan.optimiser, **optimiser))


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_one_step_is_the_hand_written_one(tmp_path: Path, family: str):
    rows = examples(4)
    trained = fine_tune(tiny.model(family), 0, rows, PLAN, tmp_path)
    model = with_adapters(tiny.model(family), PLAN)
    model.train()
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0
    )
    batch = collate(rows, 0)
    out = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    token_loss(out.logits, batch["labels"]).backward()
    optimiser.step()
    assert same_step(trained.model, model) > 500
    assert trained.steps == 1
    before = with_adapters(tiny.model(family), PLAN)
    assert any(
        not torch.equal(a, b) for a, b in zip(weights(before).values(), weights(model).values(), strict=True)
    )


@pytest.mark.parametrize("part", [1, 2])
def test_a_batch_may_be_cut_into_parts(tmp_path: Path, part: int):
    rows = examples(8)
    plan = changed(PLAN, steps=3)
    whole = fine_tune(tiny.model(), 0, rows, plan, tmp_path / "whole")
    parts = fine_tune(tiny.model(), 0, rows, changed(plan, part=part), tmp_path / "parts")
    same_training(weights(whole.model), weights(parts.model), 1e-2)
    # Adam hides a gradient that is too small by a factor; its norm does not.
    norms = [[one["grad_norm"] for one in run.history if "grad_norm" in one] for run in (whole, parts)]
    assert norms[0]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_resuming_gives_the_weights_of_an_uninterrupted_run(tmp_path: Path):
    class Killed(Exception):
        pass

    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 5:
                raise Killed

    rows = examples(8)
    plan = replace(
        changed(PLAN, steps=None, epochs=4, batch=4, part=2, schedule="cosine", warmup=0.1),
        lora=LoraSettings(r=4, alpha=8, dropout=0.3),
    )
    whole = fine_tune(tiny.model(), 0, rows, plan, tmp_path / "whole")
    with pytest.raises(Killed):
        fine_tune(tiny.model(), 0, rows, plan, tmp_path / "killed", callbacks=[Kill()])
    assert last_checkpoint(tmp_path / "killed").name == "checkpoint-4"
    again = fine_tune(tiny.model(), 0, rows, plan, tmp_path / "killed", resume=True)
    assert (whole.steps, again.steps) == (8, 8)
    same_training(weights(whole.model), weights(again.model), 1e-2)
    same_history(whole.history, again.history)


def test_packed_examples_do_not_see_each_other(tmp_path: Path):
    rows = examples(6)
    model = tiny.model().eval()
    joined = collate(rows, 0, packed=True)
    with torch.no_grad():
        packed = model(
            input_ids=joined["input_ids"], position_ids=joined["position_ids"], use_cache=False
        ).logits[0]
    at = 0
    for row in rows:
        with torch.no_grad():
            alone = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0]
        assert torch.allclose(packed[at : at + len(row.ids)], alone, atol=1e-4), row.where
        at += len(row.ids)


def test_a_packed_step_is_the_padded_one(tmp_path: Path):
    rows = examples(4)
    plan = changed(PLAN, batch=4, part=4)
    padded = fine_tune(tiny.model(), 0, rows, plan, tmp_path / "padded")
    together = replace(plan, packed=True, cutoff=sum(len(row.ids) for row in rows))
    packed = fine_tune(tiny.model(), 0, rows, together, tmp_path / "packed")
    same_training(weights(padded.model), weights(packed.model), 1e-2)


def test_packing_loses_nothing_and_keeps_the_cutoff():
    rows = examples(200)
    found = packs(rows, 40)
    assert sorted(e.where for row in found for e in row) == sorted(e.where for e in rows)
    assert max(sum(len(e.ids) for e in row) for row in found) <= 40
    assert len(found) < 0.75 * len(rows)


def test_a_loss_that_is_no_number_names_its_rows_and_keeps_the_last_checkpoint(tmp_path: Path):
    rows = examples(8)
    plan = changed(PLAN, steps=None, epochs=1, batch=4, part=4)
    good = fine_tune(tiny.model(), 0, rows, plan, tmp_path)
    kept = sorted(place.name for place in tmp_path.iterdir())
    broken = tiny.model()
    with torch.no_grad():
        broken.get_output_embeddings().weight[7] = float("nan")
    with pytest.raises(BackendError, match=r"step 1 is nan, for: row \d"):
        fine_tune(broken, 0, rows, plan, tmp_path)
    assert sorted(place.name for place in tmp_path.iterdir()) == kept
    assert good.steps == 2


def test_only_the_row_that_spoils_a_loss_is_named(tmp_path: Path):
    rows = examples(4)
    own = replace(rows[2], ids=(310, *rows[2].ids[1:]))
    assert not any(310 in row.ids for row in rows)
    broken = tiny.model()
    with torch.no_grad():
        broken.get_input_embeddings().weight[310] = float("inf")
    plan = replace(PLAN, lora=None)
    with pytest.raises(BackendError, match=r"for: row 2\. The last checkpoint stands"):
        fine_tune(broken, 0, [*rows[:2], own, rows[3]], plan, tmp_path)


def test_embeddings_are_trained_where_the_plan_says_so(tmp_path: Path):
    plan = replace(PLAN, lora=LoraSettings(r=2, alpha=4, embeddings=True))
    trained = fine_tune(tiny.model(), 0, examples(4), plan, tmp_path)
    names = " ".join(weights(trained.model))
    assert "embed_tokens" in names
    assert "lm_head" in names


def test_nothing_to_train_on_and_batches_that_do_not_divide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="nothing to train on"):
        fine_tune(tiny.model(), 0, [], PLAN, tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="3 processes"):
        fine_tune(tiny.model(), 0, examples(4), PLAN, tmp_path)
