"""Ranking losses against double loops, gradcheck, and what must not change them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_training.losses.ranking import listnet, ranknet

torch.set_num_threads(1)
lists = st.lists(st.tuples(st.floats(-20, 20), st.integers(1, 6)), min_size=2, max_size=7)


def tensors(pairs: list[tuple[float, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    scores, ranks = zip(*pairs, strict=True)
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(ranks)


@given(pairs=lists, weighted=st.booleans())
@settings(deadline=None)
def test_ranknet_is_the_mean_over_pairs(pairs: list[tuple[float, int]], weighted: bool):
    costs = [
        math.log1p(math.exp(zj - zi)) / ((ri + rj) if weighted else 1)
        for zi, ri in pairs
        for zj, rj in pairs
        if ri < rj
    ]
    expected = sum(costs) / len(costs) if costs else 0.0
    assert ranknet(*tensors(pairs), weighted=weighted).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(pairs=lists)
@settings(deadline=None)
def test_listnet_is_the_cross_entropy_of_two_softmaxes(pairs: list[tuple[float, int]]):
    target = [math.exp(-r) for _, r in pairs]
    target = [t / sum(target) for t in target]
    top = max(z for z, _ in pairs)
    norm = top + math.log(sum(math.exp(z - top) for z, _ in pairs))
    expected = -sum(t * (z - norm) for t, (z, _) in zip(target, pairs, strict=True))
    assert listnet(*tensors(pairs)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("loss", [ranknet, listnet])
def test_a_batch_is_the_mean_of_its_lists(loss):
    torch.manual_seed(0)
    scores = torch.randn(4, 5, dtype=torch.float64)
    ranks = torch.stack([torch.randperm(5) + 1 for _ in range(4)])
    singles = [loss(scores[i], ranks[i]) for i in range(4)]
    assert torch.allclose(loss(scores, ranks), torch.stack(singles).mean(), rtol=1e-12)


@pytest.mark.parametrize("loss", [ranknet, listnet])
def test_padding_and_the_order_of_documents_do_not_matter(loss):
    torch.manual_seed(1)
    scores, ranks = torch.randn(5, dtype=torch.float64), torch.randperm(5) + 1
    shuffle = torch.randperm(5)
    padded = torch.cat([scores, torch.tensor([1e9, float("-inf")], dtype=torch.float64)])
    plain = loss(scores, ranks)
    assert torch.allclose(loss(scores[shuffle], ranks[shuffle]), plain, rtol=1e-12)
    assert torch.allclose(loss(padded, torch.cat([ranks, torch.zeros(2, dtype=torch.long)])), plain)


@pytest.mark.parametrize("loss", [ranknet, listnet])
def test_gradients(loss):
    torch.manual_seed(2)
    scores = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    ranks = torch.tensor([[1, 2, 3, 0], [2, 1, 2, 4]])
    assert torch.autograd.gradcheck(lambda z: loss(z, ranks), (scores,))


def test_padding_does_not_poison_gradients():
    scores = torch.tensor([0.1, 0.2, float("-inf")], requires_grad=True)
    ranknet(scores, torch.tensor([2, 1, 0])).backward()
    assert torch.isfinite(scores.grad[:2]).all()


def test_ties_make_no_pair_and_all_tied_is_zero():
    scores = torch.randn(3, requires_grad=True)
    loss = ranknet(scores, torch.tensor([1, 1, 1]))
    loss.backward()
    assert (loss.item(), scores.grad.abs().sum().item()) == (0.0, 0.0)


def test_a_step_down_the_gradient_orders_the_documents():
    scores = torch.zeros(4, requires_grad=True)
    ranks = torch.tensor([3, 1, 4, 2])
    optimiser = torch.optim.SGD([scores], lr=5.0)
    for _ in range(50):
        optimiser.zero_grad()
        ranknet(scores, ranks).backward()
        optimiser.step()
    assert scores.argsort(descending=True).tolist() == [1, 3, 0, 2]


def test_bad_shapes_are_named():
    with pytest.raises(InputError, match=r"\(3,\) and \(2,\)"):
        ranknet(torch.zeros(3), torch.ones(2))
    with pytest.raises(InputError, match="temperature"):
        listnet(torch.zeros(3), torch.ones(3), temperature=0)
