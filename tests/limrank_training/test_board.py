"""What TensorBoard reads back is what the run's history says, also of a run that went on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from limrank_training.history import read_history
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan
from limrank_training.trainer_arguments import reporters
from limrank_training.training_data import prepare
from limrank_training.training_run import train

torch.set_num_threads(1)
PLAN = Plan(
    "board",
    lora=LoraSettings(r=4, alpha=8),
    optimiser=OptimiserSettings(rate=1e-2, schedule="linear", warmup=0.0, epochs=3, batch=2, part=2),
    precision="float32",
    reasoning=False,
    cutoff=300,
    dev=0.4,
)


def rows(folder: Path) -> Path:
    words = ("milk", "bread", "light", "iron")
    made = [
        {"query": f"why {word}", "passage": f"{other} it is", "relevant": word == other}
        for word in words
        for other in words[:2]
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder / "rows.jsonl"


def board_of(run: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    return {name: [(e.step, e.value) for e in read.Scalars(name)] for name in read.Tags()["scalars"]}


def test_the_board_shows_the_history(tmp_path: Path):
    pytest.importorskip("tensorboard")
    plan = replace(PLAN, base=str(tiny.build(tmp_path / "base")))
    data = prepare(plan, rows(tmp_path))

    class Killed(Exception):
        pass

    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == per_epoch + 1:
                raise Killed

    per_epoch = -(-len(data.examples) // 2)
    with pytest.raises(Killed):
        train(plan, data, tmp_path / "run", callbacks=[Kill()], log_every=1)
    train(plan, data, tmp_path / "run", log_every=1)
    history = read_history(tmp_path / "run/history.jsonl")
    shown = board_of(tmp_path / "run")
    for name, key in (
        ("train/loss", "loss"),
        ("train/learning_rate", "learning_rate"),
        ("eval/loss", "eval_loss"),
    ):
        wanted = [(int(entry["step"]), entry[key]) for entry in history if key in entry]
        assert len(wanted) >= 3
        assert shown[name] == [(step, pytest.approx(value, rel=1e-6)) for step, value in wanted], name
    assert not list((tmp_path / "run/checkpoints").rglob("events.*"))


def test_other_places_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    assert reporters() == []
