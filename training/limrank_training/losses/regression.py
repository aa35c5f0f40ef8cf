"""Losses of a student's scores against a teacher's, both as logits: pointwise, and of pairs of one query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.errors import InputError, require

if TYPE_CHECKING:
    from torch import Tensor


def mse(scores: Tensor, targets: Tensor) -> Tensor:
    """The mean over passages of (score - target)^2: a teacher's logits are regressed on (arXiv 1312.6184).

    Args:
        scores: shape (passages,), of the model that learns.
        targets: the same shape, the teacher's.

    Returns:
        A scalar.

    Raises:
        InputError: shapes that differ.
    """
    _check(scores, targets)
    return ((scores - targets) ** 2).mean()


def margin_mse(scores: Tensor, targets: Tensor) -> Tensor:
    """The mean over pairs i < j of one query of ((s_i - s_j) - (t_i - t_j))^2 (Margin-MSE, arXiv 2010.02666).

    Only differences within the query count, so a teacher whose scores are higher for one query than for
    another teaches nothing by that. The paper pairs a relevant passage with one that is not; here every two
    passages are a pair, so no labels are needed.

    Args:
        scores: shape (passages,), of one query, by the model that learns.
        targets: the same shape, the teacher's.

    Returns:
        A scalar; 0 (with a gradient of 0) for a passage that is alone.

    Raises:
        InputError: shapes that differ.
    """
    _check(scores, targets)
    torch = require("torch", "training", "a training loss")
    errors = scores - targets
    one, other = torch.triu_indices(len(errors), len(errors), 1, device=errors.device)
    return ((errors[one] - errors[other]) ** 2).sum() / max(1, len(one))


def _check(scores: Tensor, targets: Tensor) -> None:
    if scores.ndim != 1 or scores.shape != targets.shape:
        raise InputError(
            f"scores and targets must both be (passages,), but are {tuple(scores.shape)} and "
            f"{tuple(targets.shape)}"
        )
