"""Training FIRST: orders of passages, and their labels' scores where the first one is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.errors import InputError
from limrank_training.criteria import next_tokens
from limrank_training.data.collation import collate
from limrank_training.data.group_layout import GroupExample
from limrank_training.losses.first import first_loss
from limrank_training.plans import FirstSettings, Plan
from limrank_training.sft import TrainingResult
from limrank_training.sft import train as train_tokens

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class FirstCriterion:
    """The loss of FIRST, of which each list of a step weighs the same.

    Attributes:
        joint: see there.
    """

    joint: FirstSettings

    def batch(self, examples: Sequence[GroupExample], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """As `collate`, with where each first label is predicted, the labels' tokens and the ranks.

        Raises:
            InputError: an example has no ranks, or does not begin with its best passage's label.
        """
        for one in examples:
            if packed or not one.labels or one.ids[one.learned] not in one.labels:
                raise InputError(
                    f"{one.where}: an order with a label for each passage is needed, one in a row"
                )
        made = collate(examples, pad)
        # The last given token: a model asked with nothing behind it is read at the same place.
        made["places"] = [one.learned - 1 for one in examples]
        made["tokens"] = [one.labels for one in examples]
        made["ranks"] = [one.ranks for one in examples]
        return made

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
            weight=self.joint.weight,
            loss=self.joint.loss,
            weighted=self.joint.weighted,
        )
        return costs.sum()

    def count(self, batch: dict[str, Any]) -> int:
        """The lists."""
        return len(batch["places"])


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made; as `sft.train`."""
    assert plan.joint is not None
    return train_tokens(model, data, plan, folder, learning=FirstCriterion(plan.joint), **how)
