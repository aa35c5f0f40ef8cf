"""The losses a plan can name, as pure functions of scores in float32 or what they are given.

To add one, write its function in this folder and give it a row in `LOSSES`; `loss: NAME` in a plan then
trains with it. It is called, and answers, as its objectives need it:

| objectives | called with | returns |
|---|---|---|
| sft, graded, setwise-sft, listwise-sft | logits, labels | the sum over the learned tokens |
| ragvl | logits, labels, weights or None | the weighted mean over the learned tokens |
| first, qlm | scores and ranks of one list | a scalar |
| distil | scores and targets of one passage, or of a query's passages | a scalar |
| tildev2, mm-embed | scores; `group` | the mean over queries |
| gliclass | logits, labels; `real` | the mean over labels |

Where lists are learned, targets are ranks or labels, never scores: ties in a teacher's scores would vanish or
turn into NaN. The objectives `grpo` and `cross-encoder` take the losses of their libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from limrank_training.losses.contrastive import info_nce
from limrank_training.losses.multi_label import focal_bce
from limrank_training.losses.next_token import token_loss, token_sum
from limrank_training.losses.ranking import listnet, ranknet
from limrank_training.losses.regression import margin_mse, mse
from limrank_training.objectives import OBJECTIVES, Objective

if TYPE_CHECKING:
    from limrank_training.plans import Plan


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss that a plan can name.

    Attributes:
        function: see the table above.
        objectives: those that take it; the first loss that takes an objective is its default.
        options: settings of the objective's own table that the function gets under the same names.
        is_of_queries: with `"distil"`, an example is a query's passages, not one passage.
    """

    function: Callable[..., Any]
    objectives: tuple[Objective, ...]
    options: tuple[str, ...] = ()
    is_of_queries: bool = False


LOSSES: dict[str, Loss] = {
    "likelihood": Loss(token_sum, ("sft", "graded", "setwise-sft", "listwise-sft")),
    "weighted-likelihood": Loss(token_loss, ("ragvl",)),
    "ranknet": Loss(ranknet, ("first", "qlm"), ("weighted",)),
    "listnet": Loss(listnet, ("first", "qlm")),
    "mse": Loss(mse, ("distil",)),
    "margin-mse": Loss(margin_mse, ("distil",), is_of_queries=True),
    "info-nce": Loss(info_nce, ("tildev2", "mm-embed"), ("temperature",)),
    "focal": Loss(focal_bce, ("gliclass",), ("gamma", "alpha")),
}


def losses_of(objective: Objective) -> list[str]:
    """The names of the losses that an objective takes, its default first."""
    return [name for name, loss in LOSSES.items() if objective in loss.objectives]


def named_loss(plan: Plan) -> Loss:
    """The plan's loss, or the default of its objective, which must take one."""
    return LOSSES[plan.loss or losses_of(plan.objective)[0]]


def plan_loss(plan: Plan) -> Callable[..., Any]:
    """The function of the plan's loss, its options set as the plan sets them."""
    loss = named_loss(plan)
    settings = getattr(plan, OBJECTIVES[plan.objective].settings, None)
    return partial(loss.function, **{name: getattr(settings, name) for name in loss.options})
