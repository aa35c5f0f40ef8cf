"""The objectives a plan can name: what each one trains, what of a plan belongs to it, and where its code is.

To add one, write a module with `prepare` and `train` and give it a row in `OBJECTIVES`; settings of its own
are a dataclass in `plans.objective_settings` and a field of `Plan`. Losses have a table of their own,
`losses.LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from limrank_plugins.readouts.grade import ExpectedGrade
from limrank_plugins.readouts.label_scores import LabelScores
from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.readouts.select import GenerateSelect, LabelSelect

Objective = Literal[
    "sft", "graded", "setwise-sft", "listwise-sft", "first", "grpo", "distil",
    "qlm",
    "tildev2", "gliclass", "cross-encoder", "mm-embed", "ragvl",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """One objective. Functions are `module:name` below this package, imported when they are asked for.

    Attributes:
        prepare: (plan, rows, tokenizer) to a `TrainingData`; see `training_data.prepare`.
        train: (model, data, plan, folder, resume=, callbacks=, log_every=) to a `TrainingResult`; see
            `sft.train`.
        load: (plan, tokenizer) to the base; see `training_run.load_base`.
        export: (model, tokenizer, plan, folder, merge=, facts=); see `model_export.export`.
        standin: (plan) to a tokenizer for looking, where the base is not at hand.
        settings: the table of the plan that it needs and others must not have; empty for none.
        optional_settings: a table that it may have and others must not.
        readouts: those of the recipes that it can train, for objectives over groups.
        is_encoder: it trains an encoder: without adapters, in weights of 32 bits, and no text is learned.
        can_pack: several examples may share a row.
        can_watch: a file's rows make rankings, so nDCG@10 can be watched.
        judges_passages: a row is one judged passage; else it is a group, or what an encoder needs.
        reads_labels: the labels' logits behind a prompt are learned, so no others are computed.
        is_of_queries: an example is all passages of a query, one in a row.
    """

    prepare: str
    train: str
    load: str = "training_run:load_base"
    export: str = "model_export:export"
    standin: str = "standin:standin_for"
    settings: str = ""
    optional_settings: str = ""
    readouts: tuple[type, ...] = ()
    is_encoder: bool = False
    can_pack: bool = False
    can_watch: bool = False
    judges_passages: bool = False
    reads_labels: bool = False
    is_of_queries: bool = False

    def function(self, part: Literal["prepare", "train", "load", "export", "standin"]) -> Callable[..., Any]:
        """The function of this part."""
        module, _, name = getattr(self, part).partition(":")
        function: Callable[..., Any] = getattr(import_module(f"limrank_training.{module}"), name)
        return function


def _groups(train: str, *readouts: type, **more: Any) -> ObjectiveSpec:
    return ObjectiveSpec("group_data:prepare_groups", train, readouts=readouts, **more)


def _encoder(module: str, settings: str) -> ObjectiveSpec:
    return ObjectiveSpec(
        f"encoders.{module}:prepare",
        f"encoders.{module}:train",
        f"encoders.{module}:load",
        "encoders.encoder_export:export",
        "standin:standin_wordpiece",
        settings,
        is_encoder=True,
    )


OBJECTIVES: dict[Objective, ObjectiveSpec] = {
    "sft": ObjectiveSpec(
        "passage_data:prepare_passages", "sft:train", can_pack=True, can_watch=True, judges_passages=True
    ),
    "graded": _groups("sft:train", ExpectedGrade, can_pack=True),
    "setwise-sft": _groups("sft:train", GenerateSelect, LabelSelect, can_pack=True, can_watch=True),
    "listwise-sft": _groups("sft:train", GenerateOrder, can_pack=True, can_watch=True),
    "first": _groups("first:train", LabelScores, settings="joint", can_watch=True),
    "grpo": _groups("grpo:train", GenerateSelect, GenerateOrder, settings="grpo"),
    "distil": ObjectiveSpec(
        "distil:prepare_scored",
        "distil:train",
        settings="teacher",
        can_watch=True,
        judges_passages=True,
        reads_labels=True,
    ),
    "qlm": ObjectiveSpec(
        "qlm:prepare_ranked", "qlm:train", settings="qlm", can_watch=True, is_of_queries=True
    ),
    "tildev2": _encoder("tildev2", "contrast"),
    "gliclass": _encoder("gliclass", "classes"),
    "cross-encoder": _encoder("cross_encoder", "pairs"),
    "mm-embed": _encoder("mm_embed", "contrast"),
    "ragvl": ObjectiveSpec("ragvl:prepare", "ragvl:train", optional_settings="noise"),
}
