"""Losses over yes-or-no labels: focal cross-entropy (GLiClass), and PPO over such labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.errors import InputError, require

if TYPE_CHECKING:
    from torch import Tensor


def focal_bce(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: float = 0.0,
    alpha: float | None = None,
    real: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy that looks away from what is right already (Lin et al., arXiv 1708.02002).

    With p_t the probability of the true label: a_t · (1 - p_t)^gamma · -log p_t.

    Args:
        logits: any shape.
        labels: the same shape, 0 or 1.
        gamma: 0 is plain cross-entropy.
        alpha: weight of positives, 1 - alpha that of negatives; None: 1 for both.
        real: the same shape, False for padding; None: everything counts.

    Returns:
        A scalar: the mean over what counts, 0 where nothing does.

    Raises:
        InputError: shapes that differ, or numbers that make no sense.
    """
    torch = require("torch", "training", "a training loss")
    if logits.shape != labels.shape or (real is not None and real.shape != logits.shape):
        raise InputError(f"logits are {tuple(logits.shape)}, but labels are {tuple(labels.shape)}")
    if gamma < 0 or (alpha is not None and not 0 <= alpha <= 1):
        raise InputError(f"gamma must be >= 0 and alpha in [0, 1], but got {gamma!r} and {alpha!r}")
    labels = labels.to(logits.dtype)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    costs = plain
    if gamma > 0:
        # 1 - p_t = sigmoid(-logit of the true label), without the loss of digits of 1 - exp(-plain).
        wrong = torch.sigmoid(torch.where(labels > 0.5, -logits, logits))
        costs = costs * wrong**gamma
    if alpha is not None:
        costs = costs * torch.where(labels > 0.5, alpha, 1 - alpha)
    if real is None:
        return costs.mean()
    counted = real.to(costs.dtype)
    return (costs * counted).sum() / counted.sum().clamp(min=1)


def ppo_labels(
    logits: Tensor,
    actions: Tensor,
    before: Tensor,
    advantages: Tensor,
    *,
    clip: float = 0.2,
    reference: Tensor | None = None,
    kl: float = 0.1,
    entropy: float = 0.0,
    real: Tensor | None = None,
) -> Tensor:
    """Clipped policy gradient where every label is an action of its own (GLiClass, arXiv 2508.07662).

    The actions are those that were drawn and rewarded, in every inner step: the released trainer draws
    new ones and divides their probability by that of the old ones.

    Args:
        logits: shape (rows, labels), of the policy that is trained.
        actions: the same shape, the 0s and 1s that were drawn.
        before: log-probabilities of those actions when they were drawn.
        advantages: shape (rows,) or (rows, labels).
        clip: of the ratio.
        reference: logits of the model before training; None: no penalty.
        kl: weight of the penalty, with the estimator exp(d) - d - 1 of d = log p_ref - log p.
        entropy: weight of the policy's entropy, which is rewarded.
        real: the same shape as logits, False for padding.

    Returns:
        A scalar, to be minimised.

    Raises:
        InputError: shapes that differ.
    """
    torch = require("torch", "training", "a training loss")
    if not logits.shape == actions.shape == before.shape:
        raise InputError("logits, actions and their log-probabilities must have one shape")
    if advantages.ndim == logits.ndim - 1:
        advantages = advantages[:, None].expand_as(logits)
    now = action_log_probabilities(logits, actions)
    ratio = torch.exp(now - before.detach())
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    costs = -gain
    if reference is not None:
        distance = action_log_probabilities(reference, actions).detach() - now
        costs = costs + kl * (torch.exp(distance) - distance - 1)
    if entropy:
        p = torch.sigmoid(logits)
        own = torch.nn.functional.binary_cross_entropy_with_logits(logits, p, reduction="none")
        costs = costs - entropy * own
    if real is None:
        return costs.mean()
    counted = real.to(costs.dtype)
    return (costs * counted).sum() / counted.sum().clamp(min=1)


def action_log_probabilities(logits: Tensor, actions: Tensor) -> Tensor:
    """Log P(action) of independent Bernoulli draws with these logits."""
    torch = require("torch", "training", "a training loss")
    return -torch.nn.functional.binary_cross_entropy_with_logits(
        logits, actions.to(logits.dtype), reduction="none"
    )
