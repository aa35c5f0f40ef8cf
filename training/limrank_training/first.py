"""Training FIRST: orders of passages, and their labels' scores where the first one is predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.errors import InputError
from limrank_training import sft
from limrank_training.criteria import next_tokens
from limrank_training.data.collation import collate
from limrank_training.data.group_layout import GroupExample
from limrank_training.losses import plan_loss
from limrank_training.losses.first import first_loss
from limrank_training.losses.ranking import ranknet
from limrank_training.plans import FirstSettings, Plan

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class FirstCriterion:
    """The loss of FIRST, of which each list of a step weighs the same.

    Attributes:
        weight: of the ranking loss; the likelihood has 1.
        rank_loss: over the labels' scores and the passages' ranks.
    """

    weight: float = 10.0
    rank_loss: Callable[..., Tensor] = ranknet

    def batch(self, examples: Sequence[GroupExample], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """As `collate`, with where each first label is predicted, the labels' tokens and the ranks.

        Raises:
            InputError: an example has no ranks, or does not begin with its best passage's label.
        """
        for example in examples:
            if packed or not example.labels or example.ids[example.learned] not in example.labels:
                raise InputError(
                    f"{example.where}: an order with a label for each passage is needed, one in a row"
                )
        batch = collate(examples, pad)
        # The last given token: a model asked with nothing behind it is read at the same place.
        batch["places"] = [example.learned - 1 for example in examples]
        batch["tokens"] = [example.labels for example in examples]
        batch["ranks"] = [example.ranks for example in examples]
        return batch

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """See `next_tokens`."""
        return next_tokens(model, batch)

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over lists of `first_loss`."""
        costs = first_loss(
            logits,
            batch["labels"],
            batch["places"],
            batch["tokens"],
            batch["ranks"],
            weight=self.weight,
            rank_loss=self.rank_loss,
        )
        return costs.sum()

    def count(self, batch: dict[str, Any]) -> int:
        """The lists."""
        return len(batch["places"])


def joint_weight(joint: FirstSettings, loss: str | None) -> float:
    """The weight of the ranking loss, as released (gangiswag/llm-reranker) where the plan names none."""
    if joint.weight is not None:
        return joint.weight
    if loss == "listnet":
        return 0.1
    return 10.0 if loss in (None, "ranknet") and joint.weighted else 1.0


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> sft.TrainingResult:
    """Train on what `prepare` made; as `sft.train`."""
    assert plan.joint is not None
    criterion = FirstCriterion(joint_weight(plan.joint, plan.loss), plan_loss(plan))
    return sft.train(model, data, plan, folder, criterion=criterion, **how)
