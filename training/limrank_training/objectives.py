"""The objectives a plan can name: a way to prepare rows and a way to train, imported when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from limrank_training.plans import Objective

_ROWS = "limrank_training.training_data:prepare_rows"
_GROUPS = "limrank_training.group_data:prepare_groups"
_TOKENS = "limrank_training.sft:train"
_BASE = "limrank_training.training_run:load_base"
_EXPORT = "limrank_training.model_export:export"
_STANDIN = "limrank_training.standin:standin_for"
_ENCODERS = "limrank_training.encoders"
_MODULES: dict[Objective, str] = {
    "tildev2": "tildev2",
    "gliclass": "gliclass",
    "cross-encoder": "cross_encoder",
    "mm-embed": "mm_embed",
}
_TABLE: dict[Objective, tuple[str, str]] = {
    "sft": (_ROWS, _TOKENS),
    "graded": (_GROUPS, _TOKENS),
    "setwise-sft": (_GROUPS, _TOKENS),
    "listwise-sft": (_GROUPS, _TOKENS),
    "first": (_GROUPS, "limrank_training.first:train"),
    "grpo": (_GROUPS, "limrank_training.grpo:train"),
    "ragvl": ("limrank_training.ragvl:prepare", "limrank_training.ragvl:train"),
}


@dataclass(frozen=True, slots=True)
class ObjectiveParts:
    """What an objective brings.

    Attributes:
        prepare: (plan, rows, tokenizer, on_progress) to a `TrainingData`; see `training_data.prepare`.
        train: (model, data, plan, folder, resume=, callbacks=, log_every=) to a `TrainingResult`; see
            `sft.train`.
        load: (plan, tokenizer) to the base; see `training_run.load_base`.
        export: (model, tokenizer, plan, folder, merge=, facts=); see `model_export.export`.
        standin: (plan) to a tokenizer for looking, where the base is not at hand.
    """

    prepare: Callable[..., Any]
    train: Callable[..., Any]
    load: Callable[..., Any]
    export: Callable[..., Any]
    standin: Callable[..., Any]


def load_objective(name: Objective) -> ObjectiveParts:
    """The parts of an objective."""
    if name in _MODULES:
        own, shared = f"{_ENCODERS}.{_MODULES[name]}", f"{_ENCODERS}.prepared"
        paths = (f"{own}:prepare", f"{own}:train", f"{own}:load", f"{shared}:export", f"{shared}:standin")
    else:
        paths = (*_TABLE[name], _BASE, _EXPORT, _STANDIN)
    return ObjectiveParts(*map(_named, paths))


def _named(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
