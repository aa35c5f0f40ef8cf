"""InfoNCE, focal cross-entropy, PPO over labels, token losses: against loops and plain formulas."""

from __future__ import annotations

import math

import pytest
import torch

from limrank_plugins.errors import InputError
from limrank_training.losses.contrastive import info_nce
from limrank_training.losses.multi_label import action_log_probabilities, focal_bce, ppo_labels
from limrank_training.losses.next_token import IGNORED, noise_weights, token_loss

torch.set_num_threads(1)


def test_info_nce_is_a_softmax_over_the_batch():
    torch.manual_seed(0)
    scores = torch.randn(3, 6, dtype=torch.float64)
    expected = 0.0
    for query in range(3):
        total = sum(math.exp(scores[query, column] / 0.5) for column in range(6))
        expected -= math.log(math.exp(scores[query, 2 * query] / 0.5) / total) / 3
    assert info_nce(scores, group=2, temperature=0.5).item() == pytest.approx(expected, rel=1e-12)


def test_info_nce_gradcheck_and_shapes():
    scores = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: info_nce(z, group=2), (scores,))
    with pytest.raises(InputError, match=r"\(2, 4\)"):
        info_nce(scores, group=3)
    with pytest.raises(InputError, match="temperature"):
        info_nce(scores, group=2, temperature=0)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_loss_is_its_formula(gamma: float, alpha: float | None):
    torch.manual_seed(1)
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 2, (4, 3))
    real = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 1]], dtype=torch.bool)
    costs = []
    for i in range(4):
        for j in range(3):
            if real[i, j]:
                p = 1 / (1 + math.exp(-logits[i, j].item()))
                p = p if labels[i, j] else 1 - p
                weight = 1.0 if alpha is None else (alpha if labels[i, j] else 1 - alpha)
                costs.append(-weight * (1 - p) ** gamma * math.log(p))
    loss = focal_bce(logits, labels, gamma=gamma, alpha=alpha, real=real)
    assert loss.item() == pytest.approx(sum(costs) / len(costs), rel=1e-10)
    assert torch.autograd.gradcheck(
        lambda z: focal_bce(z, labels, gamma=gamma, alpha=alpha, real=real), (logits,)
    )


def test_focal_loss_stays_finite_far_out():
    logits = torch.tensor([80.0, -80.0], requires_grad=True)
    loss = focal_bce(logits, torch.tensor([0, 1]), gamma=2)
    loss.backward()
    assert loss.item() == pytest.approx(80.0)
    assert torch.isfinite(logits.grad).all()


def test_nothing_that_counts_is_no_loss():
    assert focal_bce(torch.zeros(2), torch.zeros(2), real=torch.zeros(2, dtype=torch.bool)).item() == 0


def test_the_first_ppo_step_is_the_policy_gradient():
    torch.manual_seed(2)
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    actions = torch.bernoulli(torch.sigmoid(logits.detach()))
    before = action_log_probabilities(logits.detach(), actions)
    advantages = torch.randn(3, dtype=torch.float64)
    loss = ppo_labels(logits, actions, before, advantages)
    assert loss.item() == pytest.approx(-advantages.mean().item(), rel=1e-12), "every ratio is 1"
    (gradient,) = torch.autograd.grad(loss, logits)
    plain = -(action_log_probabilities(logits, actions) * advantages[:, None]).mean()
    (expected,) = torch.autograd.grad(plain, logits)
    assert torch.allclose(gradient, expected, rtol=1e-10)


def test_ppo_clips_what_moves_too_far():
    before = torch.tensor([[math.log(0.5)]], dtype=torch.float64)
    logits = torch.tensor([[3.0]], dtype=torch.float64, requires_grad=True)  # ratio about 1.9
    loss = ppo_labels(logits, torch.ones(1, 1), before, torch.ones(1, dtype=torch.float64))
    loss.backward()
    assert (loss.item(), logits.grad.item()) == (pytest.approx(-1.2), 0.0)
    worse = ppo_labels(logits, torch.ones(1, 1), before, -torch.ones(1, dtype=torch.float64))
    assert worse.item() == pytest.approx(torch.sigmoid(torch.tensor(3.0, dtype=torch.float64)).item() / 0.5)


def test_ppo_penalty_and_entropy():
    torch.manual_seed(3)
    logits = torch.randn(2, 3, dtype=torch.float64)
    actions = torch.tensor([[1, 0, 1], [0, 0, 1]])
    before = action_log_probabilities(logits, actions)
    still = torch.zeros(2, dtype=torch.float64)
    reference = torch.randn(2, 3, dtype=torch.float64)
    d = action_log_probabilities(reference, actions) - before
    assert ppo_labels(logits, actions, before, still, reference=logits).item() == pytest.approx(0, abs=1e-15)
    assert ppo_labels(logits, actions, before, still, reference=reference, kl=0.3).item() == pytest.approx(
        0.3 * (torch.exp(d) - d - 1).mean().item()
    )
    p = torch.sigmoid(logits)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
    found = ppo_labels(logits, actions, before, still, entropy=0.5)
    assert found.item() == pytest.approx(-0.5 * entropy.item())


def test_ppo_gradients_and_a_batch_is_the_mean_of_its_rows():
    torch.manual_seed(7)
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    actions = torch.bernoulli(torch.sigmoid(logits.detach()))
    # Ratios around 1, but none at the edge of the clip, where there is no gradient.
    before = action_log_probabilities(logits.detach(), actions) + 0.5 * torch.randn(3, 4, dtype=torch.float64)
    advantages, reference = torch.randn(3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)

    def loss(z: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        given = (actions[rows], before[rows], advantages[rows])
        return ppo_labels(z[rows], *given, reference=reference[rows], kl=0.3, entropy=0.2)

    assert torch.autograd.gradcheck(loss, (logits,))
    singles = [loss(logits, slice(i, i + 1)).item() for i in range(3)]
    assert loss(logits).item() == pytest.approx(sum(singles) / 3, rel=1e-12)


def test_token_loss_gradients():
    torch.manual_seed(8)
    logits = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[IGNORED, 1, 2, IGNORED], [IGNORED, IGNORED, 0, 4]])
    weights = torch.rand(2, 4, dtype=torch.float64) + 0.5
    assert torch.autograd.gradcheck(lambda z: token_loss(z, labels), (logits,))
    assert torch.autograd.gradcheck(lambda z: token_loss(z, labels, weights), (logits,))


def test_token_loss_is_cross_entropy_where_labels_are():
    torch.manual_seed(4)
    logits = torch.randn(2, 5, 7, dtype=torch.float64)
    labels = torch.tensor([[IGNORED, IGNORED, 3, 1, IGNORED], [IGNORED, 2, 2, 0, 6]])
    costs = [
        -torch.log_softmax(logits[row, at - 1], dim=0)[labels[row, at]].item()
        for row in range(2)
        for at in range(1, 5)
        if labels[row, at] != IGNORED
    ]
    assert token_loss(logits, labels).item() == pytest.approx(sum(costs) / len(costs), rel=1e-12)
    assert torch.allclose(token_loss(logits, labels, torch.ones(2, 5)), token_loss(logits, labels))
    assert token_loss(logits, torch.full((2, 5), IGNORED)).item() == 0


def test_noise_weights_read_the_labels_own_logit():
    torch.manual_seed(5)
    logits, noised = 4 * torch.randn(2, 4, 6), 4 * torch.randn(2, 4, 6)
    labels = torch.tensor([[IGNORED, 2, 5, 1], [IGNORED, IGNORED, 3, 4]])
    weights = noise_weights(logits, noised, labels)
    for row in range(2):
        for at in range(4):
            label = labels[row, at].item()
            if at == 0 or label == IGNORED:
                assert weights[row, at] == 1
            else:
                change = (logits[row, at - 1, label] - noised[row, at - 1, label]).item()
                assert weights[row, at].item() == pytest.approx(min(max(change, 1.0), 5.0), rel=1e-6)
    shifted = logits.clone()
    shifted[:, :, 0] += 100  # token 0 is nobody's label here
    assert torch.equal(noise_weights(shifted, noised, labels), weights)


def test_a_weighted_token_loss_is_the_weighted_mean():
    torch.manual_seed(6)
    logits = torch.randn(1, 4, 5, dtype=torch.float64)
    labels, weights = torch.tensor([[IGNORED, 1, 2, 3]]), torch.tensor([[9.0, 1.0, 2.0, 5.0]])
    costs = [-torch.log_softmax(logits[0, at - 1], 0)[labels[0, at]].item() for at in (1, 2, 3)]
    expected = (costs[0] + 2 * costs[1] + 5 * costs[2]) / 8
    assert token_loss(logits, labels, weights).item() == pytest.approx(expected, rel=1e-12)
