"""FIRST's loss by its formula, in double precision, and what it must not depend on."""

from __future__ import annotations

import math

import pytest
import torch

from limrank_plugins.errors import InputError
from limrank_training.losses.first import first_loss
from limrank_training.losses.ranking import listnet

torch.set_num_threads(1)


def lists(count: int, length: int = 9, vocabulary: int = 12, size: int = 4, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, length, vocabulary, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, vocabulary, (count, length), generator=draw)
    places = [2 + number % 3 for number in range(count)]
    for number, place in enumerate(places):
        labels[number, : place + 1] = -100
    tokens = [torch.randperm(vocabulary, generator=draw)[:size].tolist() for _ in range(count)]
    ranks = [(torch.randperm(size, generator=draw) + 1).tolist() for _ in range(count)]
    return logits, labels, places, tokens, ranks


def by_hand(logits, labels, place, tokens, ranks, weight) -> float:
    """One list, number by number."""
    likelihood, learned = 0.0, 0
    for at in range(1, len(labels)):
        if labels[at] != -100:
            row = logits[at - 1].tolist()
            likelihood -= row[labels[at]] - math.log(sum(math.exp(z) for z in row))
            learned += 1
    pairs = [
        math.log1p(math.exp(logits[place][tokens[j]] - logits[place][tokens[i]])) / (ranks[i] + ranks[j])
        for i in range(len(ranks))
        for j in range(len(ranks))
        if ranks[i] < ranks[j]
    ]
    return likelihood / learned + weight * (sum(pairs) / len(pairs) if pairs else 0.0)


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_it_is_the_formula_and_a_batch_is_its_singles(weight: float):
    logits, labels, places, tokens, ranks = lists(5)
    ranks[3] = [1, 1, 2, 2]
    ranks[4] = [1, 1, 1, 1]
    found = first_loss(logits, labels, places, tokens, ranks, weight=weight)
    for i in range(5):
        alone = first_loss(
            logits[i : i + 1], labels[i : i + 1], places[i : i + 1], tokens[i : i + 1], ranks[i : i + 1],
            weight=weight,
        )  # fmt: skip
        assert found[i].item() == alone.item()
        assert found[i].item() == pytest.approx(
            by_hand(logits[i], labels[i], places[i], tokens[i], ranks[i], weight), rel=1e-12
        )


def test_gradients_are_right_and_go_up_for_the_best_label():
    logits, labels, places, tokens, ranks = lists(2, length=6, vocabulary=7)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: first_loss(z, labels, places, tokens, ranks), (logits,), eps=1e-6, atol=1e-6
    )
    ranked = first_loss(logits, labels, places, tokens, ranks) - first_loss(
        logits, labels, places, tokens, ranks, weight=0.0
    )
    ranked.sum().backward()
    for i in range(2):
        best, worst = ranks[i].index(1), ranks[i].index(4)
        assert logits.grad[i, places[i], tokens[i][best]] < 0 < logits.grad[i, places[i], tokens[i][worst]]
        away = [at for at in range(6) if at != places[i]]
        assert logits.grad[i, away].abs().max() < 1e-12, "only where the first label is predicted"


def test_listnet_and_shapes():
    logits, labels, places, tokens, ranks = lists(2)
    assert torch.isfinite(first_loss(logits, labels, places, tokens, ranks, rank_loss=listnet)).all()
    with pytest.raises(InputError, match="2 lists, but 1 places"):
        first_loss(logits, labels, places[:1], tokens, ranks)
