"""InfoNCE: the positive against everything else in the batch (TILDEv2, MM-Embed)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.errors import InputError, require

if TYPE_CHECKING:
    from torch import Tensor


def info_nce(scores: Tensor, *, group: int, temperature: float = 1.0) -> Tensor:
    """-log softmax of each query's positive over all documents of the batch.

    Documents come in groups, one group for each query: its positive first, its own hard negatives after
    it. All documents of other queries are negatives, too.

    Args:
        scores: shape (queries, queries · group); query i's positive is in column i · group.
        group: documents for each query, at least 1.
        temperature: scores are divided by it; > 0.

    Returns:
        A scalar, the mean over queries.

    Raises:
        InputError: a shape that does not fit the group.
    """
    torch = require("torch", "training", "a training loss")
    if scores.ndim != 2 or group < 1 or scores.shape[1] != scores.shape[0] * group:
        raise InputError(
            f"scores must be (queries, queries * {group}), but are {tuple(scores.shape)}: "
            f"each query brings {group} documents"
        )
    if not temperature > 0:
        raise InputError(f"temperature must be > 0, but got {temperature!r}")
    positives = torch.arange(scores.shape[0], device=scores.device) * group
    return torch.nn.functional.cross_entropy(scores / temperature, positives)
