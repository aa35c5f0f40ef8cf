"""What trainers are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from limrank_training.plans import Plan
from limrank_training.plans.shared_settings import OptimiserSettings
from limrank_training.trainer_arguments import common_arguments


@pytest.mark.parametrize(
    ("schedule", "warmup", "shape"),
    [
        ("constant", 0.0, [1.0] * 10),
        ("constant", 0.2, [0.0, 0.5, *[1.0] * 8]),
        ("linear", 0.2, [0.0, 0.5, *[(10 - step) / 8 for step in range(2, 10)]]),
    ],
)
def test_the_rate_follows_the_plan(schedule: str, warmup: float, shape: list[float], tmp_path: Path):
    optimiser = OptimiserSettings(rate=2e-3, schedule=schedule, warmup=warmup, steps=10, batch=4, part=4)
    told = common_arguments(Plan("p", optimiser=optimiser), 10, 1, 10, tmp_path, 1)
    weights = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=told["learning_rate"])
    following = transformers.get_scheduler(
        told["lr_scheduler_type"], weights, told["warmup_steps"], told["max_steps"]
    )
    rates = []
    for _ in range(10):
        rates.append(following.get_last_lr()[0])
        weights.step()
        following.step()
    assert rates == pytest.approx([2e-3 * part for part in shape])
