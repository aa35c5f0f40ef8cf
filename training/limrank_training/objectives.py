"""The objectives a plan can name: a way to prepare rows and a way to train, imported when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from limrank_training.plans import Objective

_ROWS = "limrank_training.preparing:prepare_rows"
_GROUPS = "limrank_training.preparing_groups:prepare_groups"
_TOKENS = "limrank_training.sft:train"
_TABLE: dict[Objective, tuple[str, str]] = {
    "sft": (_ROWS, _TOKENS),
    "graded": (_GROUPS, _TOKENS),
    "setwise-sft": (_GROUPS, _TOKENS),
    "listwise-sft": (_GROUPS, _TOKENS),
    "first": (_GROUPS, "limrank_training.first:train"),
    "grpo": (_GROUPS, "limrank_training.grpo:train"),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What an objective brings.

    Attributes:
        prepare: (plan, rows, tokenizer, on_progress) to a `Prepared`; see `preparing.prepare`.
        train: (model, data, plan, folder, resume=, callbacks=, log_every=) to a `Trained`; see `sft.train`.
    """

    prepare: Callable[..., Any]
    train: Callable[..., Any]


def load_objective(name: Objective) -> Parts:
    """The parts of an objective."""
    prepare, train = (_named(path) for path in _TABLE[name])
    return Parts(prepare, train)


def _named(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
