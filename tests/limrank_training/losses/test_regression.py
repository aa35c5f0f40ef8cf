"""Losses against a teacher's scores: the formulas, written out in numpy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from limrank_plugins.errors import InputError
from limrank_training.losses.regression import margin_mse, mse

RNG = np.random.default_rng(5)
CASES = [(RNG.normal(size=n) * 3, RNG.normal(size=n) * 2) for n in (2, 3, 7)]


@pytest.mark.parametrize(("scores", "targets"), CASES)
def test_the_formulas(scores: np.ndarray, targets: np.ndarray):
    own, wanted = torch.tensor(scores), torch.tensor(targets)
    assert mse(own, wanted).item() == pytest.approx(np.mean((scores - targets) ** 2))
    pairs = [
        ((scores[i] - scores[j]) - (targets[i] - targets[j])) ** 2
        for i, j in combinations(range(len(scores)), 2)
    ]
    assert margin_mse(own, wanted).item() == pytest.approx(np.mean(pairs))
    assert margin_mse(own + 9.0, wanted - 4.0).item() == pytest.approx(np.mean(pairs)), "differences alone"
    assert mse(own + 9.0, wanted).item() != pytest.approx(mse(own, wanted).item())


def test_a_passage_alone_makes_no_pair_and_no_gradient_that_is_no_number():
    scores = torch.tensor([3.0], requires_grad=True)
    cost = margin_mse(scores, torch.tensor([1.0]))
    cost.backward()
    assert cost.item() == 0.0
    assert scores.grad.tolist() == [0.0]


@pytest.mark.parametrize("loss", [mse, margin_mse])
def test_shapes_must_fit(loss):
    with pytest.raises(InputError, match=r"\(2,\) and \(3,\)"):
        loss(torch.zeros(2), torch.zeros(3))
