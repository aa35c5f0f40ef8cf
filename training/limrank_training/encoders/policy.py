"""PPO where every label is an action (GLiClass, arXiv 2508.07662): actions are drawn once and stored.

The released trainer draws new actions in every inner step and divides their probabilities by those of the
old ones; here a ratio is always of one action.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limrank_plugins.errors import require
from limrank_training.encoders.gliclass_module import labelled_batch
from limrank_training.losses.multi_label import action_log_probabilities, ppo_labels
from limrank_training.plans import PolicySettings
from limrank_training.torch_seeds import torch_seed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class _Drawn:
    """What was drawn for one row: shape (draws, labels), (draws,) and (labels,)."""

    visits: int
    actions: Tensor
    before: Tensor
    advantages: Tensor
    reference: Tensor


class PolicyCriterion:
    """The clipped objective over stored actions, of which each label of a step weighs the same.

    Dropout is off in this stage: otherwise the ratio of the first inner step would not be 1.

    Args:
        model: as it is before this stage; a frozen copy is the reference.
        policy: see there.
        seed: of the actions.
    """

    def __init__(self, model: Any, policy: PolicySettings, seed: int) -> None:
        self._model = model
        self._policy = policy
        self._seed = seed
        self._reference = copy.deepcopy(model.held.module).eval().requires_grad_(False)
        self._drawn: dict[int, _Drawn] = {}

    def batch(self, examples: Sequence[Any], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """As `labelled_batch`."""
        return labelled_batch(self._model, examples)

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """One for each label; where a round begins, actions are drawn from them and judged."""
        with _calm(model):
            logits: Tensor = model(batch).float()
        starting = [n for n in batch["numbers"] if self._begins(n)]
        if starting:
            self._draw(logits.detach(), batch, starting)
        for number in batch["numbers"]:
            self._drawn[number].visits += 1
        return logits

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over labels of the mean over draws."""
        torch = require("torch", "training", "training")
        policy, real = self._policy, batch["real"]
        stored = [self._drawn[number] for number in batch["numbers"]]

        def joined(name: str) -> Any:
            return torch.stack([_wide(torch, getattr(draws, name), real.shape[1]) for draws in stored])

        spread = (len(stored), policy.draws, real.shape[1])

        def flat(values: Any) -> Any:
            return values.expand(spread).reshape(-1, spread[2])

        mean = ppo_labels(
            flat(logits[:, None]),
            flat(joined("actions")),
            flat(joined("before")),
            torch.stack([draws.advantages for draws in stored]).reshape(-1),
            clip=policy.clip,
            reference=flat(joined("reference")[:, None]),
            kl=policy.kl,
            entropy=policy.entropy,
            real=flat(real[:, None]),
        )
        return mean * real.sum()

    def count(self, batch: dict[str, Any]) -> int:
        """The labels."""
        return int(batch["real"].sum())

    # ---- inside ---------------------------------------------------------------------------------

    def _begins(self, number: int) -> bool:
        known = self._drawn.get(number)
        return known is None or known.visits % self._policy.iterations == 0

    def _draw(self, logits: Tensor, batch: dict[str, Any], starting: Sequence[int]) -> None:
        torch = require("torch", "training", "training")
        place = self._reference["text_projector"][0].weight.device
        if place != logits.device:
            self._reference.to(logits.device)
        with torch.no_grad():
            reference = self._model.held.logits(batch, self._reference)[0].float()
        for i, number in enumerate(batch["numbers"]):
            if number not in starting:
                continue
            real = batch["real"][i]
            own, visits = logits[i][real], self._drawn[number].visits if number in self._drawn else 0
            numbers = torch.Generator().manual_seed(torch_seed(self._seed, number, visits))
            chance = torch.rand((self._policy.draws, len(own)), generator=numbers).to(own.device)
            actions = (chance < torch.sigmoid(own)).to(own.dtype)
            rewards = f1(actions, batch["labels"][i][real])
            self._drawn[number] = _Drawn(
                visits,
                actions,
                action_log_probabilities(own.expand_as(actions), actions),
                rewards - rewards.mean(),
                reference[i][real],
            )


def f1(actions: Tensor, labels: Tensor) -> Tensor:
    """2 · right / (named + wanted) of each set of labels; 1 where none is named and none wanted.

    Args:
        actions: shape (draws, labels), 0 or 1.
        labels: shape (labels,), 0 or 1.

    Returns:
        Shape (draws,), in [0, 1].
    """
    torch = require("torch", "training", "training")
    wanted = labels.to(actions.dtype)
    sums = actions.sum(dim=1) + wanted.sum()
    right = (actions * wanted).sum(dim=1)
    return torch.where(sums > 0, 2 * right / sums.clamp(min=1), torch.ones_like(sums))


@contextmanager
def _calm(model: Any) -> Iterator[None]:
    """Without dropout; gradients go through."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def _wide(torch: Any, values: Any, width: int) -> Any:
    """Zeros behind the last label."""
    return torch.nn.functional.pad(values, (0, width - values.shape[-1]))
