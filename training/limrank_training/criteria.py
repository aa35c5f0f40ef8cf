"""What a training step adds up: how examples become a batch, and what a batch costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from limrank_training.data.collation import collate
from limrank_training.data.passage_layout import Example
from limrank_training.losses.next_token import IGNORED, token_sum

if TYPE_CHECKING:
    from torch import Tensor


class Criterion(Protocol):
    """An objective as `sft.fine_tune` drives it: the loss of a step is its total over its count."""

    def batch(self, examples: Sequence[Any], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """Examples as tensors: `input_ids`, `labels`, `rows`, and what `total` needs beside the logits."""

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """The model's output for the batch; of a language model, `next_tokens`."""

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """What the batch costs, summed up, in float32."""

    def count(self, batch: dict[str, Any]) -> int:
        """By how many the sum is divided, over all parts of a step and all processes."""


@dataclass(frozen=True, slots=True)
class TokenCriterion:
    """A loss of the learned tokens, of which each of a step weighs the same.

    Attributes:
        loss: of logits and labels, summed over the learned tokens.
    """

    loss: Callable[[Tensor, Tensor], Tensor] = token_sum

    def batch(self, examples: Sequence[Example], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """See `collate`."""
        return collate(examples, pad, packed=packed)

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """See `next_tokens`."""
        return next_tokens(model, batch)

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The loss of all learned tokens."""
        return self.loss(logits, batch["labels"])

    def count(self, batch: dict[str, Any]) -> int:
        """The learned tokens."""
        return int((batch["labels"][:, 1:] != IGNORED).sum())


def next_tokens(model: Any, batch: dict[str, Any]) -> Tensor:
    """A language model's logits, shape (rows, length, vocabulary); position t predicts token t + 1."""
    arguments = {
        name: batch[name] for name in ("input_ids", "attention_mask", "position_ids") if name in batch
    }
    logits: Tensor = model(**arguments, use_cache=False).logits
    return logits
