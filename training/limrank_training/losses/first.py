"""FIRST's loss: the likelihood of the whole order, and the ranks at its first label (arXiv 2406.15657)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from limrank_plugins.errors import InputError, require
from limrank_training.losses.next_token import token_loss
from limrank_training.losses.ranking import ranknet

if TYPE_CHECKING:
    from torch import Tensor


def first_loss(
    logits: Tensor,
    labels: Tensor,
    places: Sequence[int],
    tokens: Sequence[Sequence[int]],
    ranks: Sequence[Sequence[int]],
    *,
    weight: float = 10.0,
    rank_loss: Callable[[Tensor, Tensor], Tensor] = ranknet,
) -> Tensor:
    """L_LM + weight · L_rank of every list, both from one forward pass.

    L_LM is the mean over the list's learned tokens. L_rank compares the logits of the passages' labels
    where the first label is predicted: the place that inference reads. Targets are ranks, never scores.

    Args:
        logits: shape (lists, length, vocabulary); position t predicts token t + 1.
        labels: shape (lists, length), -100 where nothing is learned.
        places: for each list, the position whose logits predict the first label.
        tokens: for each list, the token of each passage's label.
        ranks: for each list, each passage's rank from 1; equal ones are ties.
        weight: of L_rank.
        rank_loss: L_rank, of a list's scores and ranks.

    Returns:
        Shape (lists,), in float32 for half precision.

    Raises:
        InputError: shapes that do not fit.
    """
    torch = require("torch", "training", "a training loss")
    if not len(logits) == len(places) == len(tokens) == len(ranks):
        raise InputError(
            f"{len(logits)} lists, but {len(places)} places, {len(tokens)} labels, {len(ranks)} ranks"
        )
    costs = []
    for number, place in enumerate(places):
        at_place = logits[number, place]
        precise = at_place if at_place.dtype == torch.float64 else at_place.float()
        scores = precise[list(tokens[number])]
        wanted = torch.tensor(list(ranks[number]), device=scores.device)
        own = slice(number, number + 1)
        likelihood = token_loss(logits[own], labels[own].to(logits.device))
        costs.append(likelihood + weight * rank_loss(scores, wanted))
    return torch.stack(costs)
