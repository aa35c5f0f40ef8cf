"""Losses over one list of documents: FIRST's weighted RankNet, ListNet.

`z` are the model's scores and `r` the true ranks from 1, 1 being the best; equal ranks are ties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.errors import InputError, require

if TYPE_CHECKING:
    from torch import Tensor


def ranknet(scores: Tensor, ranks: Tensor, *, weighted: bool = True) -> Tensor:
    """Pairwise logistic loss, the mean over all pairs with r_i < r_j of log(1 + exp(z_j - z_i)).

    FIRST (arXiv 2406.15657) weights each pair by 1 / (r_i + r_j), so that mistakes at the top cost more.
    The paper writes a sum; the released code takes the mean over pairs, which its factor of 10 belongs
    to, and so does this.

    Args:
        scores: shape (documents,) or (lists, documents).
        ranks: the same shape, positive numbers; equal ones make no pair. A rank of 0 marks padding.
        weighted: by the reciprocal sum of ranks.

    Returns:
        A scalar: the mean over the lists that have a pair; 0 (with a gradient of 0) where none has.

    Raises:
        InputError: shapes that differ.
    """
    torch = require("torch", "training", "a training loss")
    scores, ranks = _lists(scores, ranks)
    better = (ranks[:, :, None] < ranks[:, None, :]) & (ranks > 0)[:, :, None] & (ranks > 0)[:, None, :]
    margins = scores[:, None, :] - scores[:, :, None]  # [l, i, j] = z_j - z_i
    costs = torch.nn.functional.softplus(margins)
    if weighted:
        sums = (ranks[:, :, None] + ranks[:, None, :]).to(scores.dtype)
        costs = costs / sums.clamp(min=1)
    pairs = better.sum(dim=(1, 2))
    # Chosen, not multiplied: an infinite cost of a pair that does not count must not become NaN.
    totals = torch.where(better, costs, torch.zeros_like(costs)).sum(dim=(1, 2))
    return _mean_of_lists(totals / pairs.clamp(min=1), pairs > 0)


def listnet(scores: Tensor, ranks: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Cross-entropy between softmax(-rank / temperature) and softmax(score) (Cao et al., ICML 2007).

    Args:
        scores: shape (documents,) or (lists, documents).
        ranks: the same shape; 0 marks padding.
        temperature: of the target; > 0.

    Returns:
        A scalar: the mean over the lists that have two documents or more.

    Raises:
        InputError: shapes that differ, or a temperature that is not positive.
    """
    torch = require("torch", "training", "a training loss")
    if not temperature > 0:
        raise InputError(f"temperature must be > 0, but got {temperature!r}")
    scores, ranks = _lists(scores, ranks)
    real = ranks > 0
    away = torch.finfo(scores.dtype).min
    target = torch.softmax((-ranks.to(scores.dtype) / temperature).masked_fill(~real, away), dim=1).detach()
    logged = torch.log_softmax(scores.masked_fill(~real, away), dim=1)
    costs = -(torch.where(real, target * logged, torch.zeros_like(logged))).sum(dim=1)
    return _mean_of_lists(costs, real.sum(dim=1) > 1)


def _lists(scores: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    if scores.shape != ranks.shape or scores.ndim not in (1, 2):
        raise InputError(
            f"scores and ranks must both be (documents,) or (lists, documents), but are "
            f"{tuple(scores.shape)} and {tuple(ranks.shape)}"
        )
    return (scores[None], ranks[None]) if scores.ndim == 1 else (scores, ranks)


def _mean_of_lists(costs: Tensor, counted: Tensor) -> Tensor:
    return (costs * counted.to(costs.dtype)).sum() / counted.sum().clamp(min=1)
