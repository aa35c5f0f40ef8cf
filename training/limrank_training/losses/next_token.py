"""Losses over the tokens of an answer: plain, and weighted by what a noised image takes away (RagVL)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.errors import InputError, require

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The label of a token that is not learned, as everywhere in PyTorch."""


def token_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of next tokens, the weighted mean over those that are learned.

    Args:
        logits: shape (rows, length, vocabulary); position t predicts token t + 1.
        labels: shape (rows, length), `IGNORED` where nothing is learned.
        weights: of the labels, the same shape; None: 1.

    Returns:
        A scalar, in float32 for half precision; 0 where nothing is learned.

    Raises:
        InputError: shapes that do not fit.
    """
    torch = require("torch", "training", "a training loss")
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise InputError(f"logits are {tuple(logits.shape)}, but labels are {tuple(labels.shape)}")
    precise = logits[:, :-1] if logits.dtype == torch.float64 else logits[:, :-1].float()
    wanted = labels[:, 1:]
    costs = torch.nn.functional.cross_entropy(
        precise.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none"
    )
    learned = (wanted != IGNORED).to(costs.dtype)
    if weights is not None:
        learned = learned * weights[:, 1:].to(costs.dtype)
    return (costs * learned).sum() / learned.sum().clamp(min=torch.finfo(costs.dtype).tiny)


def token_sum(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of next tokens, the sum over those that are learned.

    Args:
        logits: shape (rows, length, vocabulary); position t predicts token t + 1.
        labels: shape (rows, length), `IGNORED` where nothing is learned.

    Returns:
        A scalar in float32.
    """
    torch = require("torch", "training", "a training loss")
    # Half precision is not enough for a sum over a vocabulary.
    precise = logits[:, :-1].float()
    wanted = labels[:, 1:].to(logits.device)
    costs: Tensor = torch.nn.functional.cross_entropy(
        precise.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="sum"
    )
    return costs


def noise_weights(
    logits: Tensor, noised: Tensor, labels: Tensor, *, least: float = 1.0, most: float = 5.0
) -> Tensor:
    """How much each label depends on the image: its own logit, less that with a noised image.

    RagVL (arXiv 2407.21439) means the label's logit; the released code takes that of token 0 for every
    position.

    Args:
        logits: shape (rows, length, vocabulary), with the image.
        noised: the same shape, with the noised image; no gradient goes through either.
        labels: shape (rows, length), `IGNORED` where nothing is learned.
        least: weights are clamped to at least this.
        most: and to at most this.

    Returns:
        Shape (rows, length), float32: the weight of each label; 1 where nothing is learned.

    Raises:
        InputError: shapes that do not fit.
    """
    torch = require("torch", "training", "a training loss")
    if logits.shape != noised.shape or logits.shape[:2] != labels.shape:
        raise InputError("logits, noised logits and labels must be of the same rows and length")
    wanted = labels[:, 1:].clamp(min=0)[:, :, None]
    with torch.no_grad():
        change = (logits[:, :-1].float() - noised[:, :-1].float()).gather(2, wanted)[:, :, 0]
        inner = change.clamp(least, most)
        inner = torch.where(labels[:, 1:] == IGNORED, torch.ones_like(inner), inner)
        return torch.cat([torch.ones_like(inner[:, :1]), inner], dim=1)
