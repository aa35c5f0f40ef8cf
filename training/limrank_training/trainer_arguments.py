"""What the library's trainers are told: every setting that matters, whatever its defaults become."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError, require
from limrank_training.plans import Plan
from limrank_training.plans.shared_settings import OptimiserSettings


def training_arguments(plan: Plan, size: int, folder: Path, has_dev: bool, log_every: int) -> Any:
    """The trainer's arguments: all that matters is set, whatever its defaults become.

    Raises:
        InputError: the batch cannot be shared equally by the processes.
    """
    transformers = require("transformers", "training", "training")
    o = plan.optimiser
    accumulated = accumulated_parts(plan, o.batch)
    steps = total_steps(plan, size)
    every = checkpoint_every(plan, steps)
    return transformers.TrainingArguments(
        **common_arguments(plan, steps, accumulated, every, folder, log_every),
        per_device_eval_batch_size=o.part,
        eval_strategy="steps" if has_dev else "no",
        eval_steps=every if has_dev else None,
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
    )


def common_arguments(
    plan: Plan, steps: int, accumulated: int, every: int, folder: Path, log_every: int
) -> dict[str, Any]:
    """What every trainer of the family is told.

    Args:
        plan: see there.
        steps: optimiser steps in all.
        accumulated: parts of a step, in each process.
        every: steps between two checkpoints.
        folder: for checkpoints.
        log_every: steps between two entries of the history.
    """
    o = plan.optimiser
    precise = plan.precision
    return _recomputing(plan) | {
        "output_dir": str(folder),
        "per_device_train_batch_size": o.part,
        "gradient_accumulation_steps": accumulated,
        "max_steps": steps,
        "learning_rate": o.rate,
        "lr_scheduler_type": _schedule(o),
        "warmup_steps": round(o.warmup * steps),
        "weight_decay": o.decay,
        "max_grad_norm": o.clip,
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "neftune_noise_alpha": o.neftune or None,
        "seed": plan.seed,
        "data_seed": plan.seed,
        "bf16": precise == "bfloat16",
        "fp16": precise == "float16",
        "logging_strategy": "steps",
        "logging_steps": log_every,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": every,
        "report_to": reporters(),
        "disable_tqdm": True,
        "dataloader_drop_last": False,
        "use_cpu": not _gpu(),
    }


def _recomputing(plan: Plan) -> dict[str, Any]:
    """By the name that the installed library has for it; 6 will know the newer one alone."""
    fields = require("transformers", "training", "training").TrainingArguments.__dataclass_fields__
    name = "activation_checkpointing" if "activation_checkpointing" in fields else "gradient_checkpointing"
    return {name: plan.recompute, f"{name}_kwargs": {"use_reentrant": False} if plan.recompute else None}


def reporters() -> list[str]:
    """Where the library logs to by itself: Weights & Biases where it is installed and a project is named."""
    return ["wandb"] if find_spec("wandb") and os.environ.get("WANDB_PROJECT") else []


def accumulated_parts(plan: Plan, examples: int) -> int:
    """Parts of a step of so many examples, in each process.

    Raises:
        InputError: the processes cannot share them equally.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    at_once = plan.optimiser.part * world
    if examples % at_once:
        raise InputError(
            f"the {examples} examples of a step (optimiser.batch={plan.optimiser.batch}) cannot be shared by "
            f"{world} processes with parts of {plan.optimiser.part}: make them a multiple of {at_once}"
        )
    return examples // at_once


def checkpoint_every(plan: Plan, steps: int) -> int:
    """Steps between two checkpoints."""
    o = plan.optimiser
    return steps if o.steps is not None else max(1, math.ceil(steps / max(1.0, o.epochs * plan.checkpoints)))


def total_steps(plan: Plan, size: int) -> int:
    """Optimiser steps of a run over so many examples (rows, where they are packed)."""
    o = plan.optimiser
    return o.steps if o.steps is not None else max(1, math.ceil(size * o.epochs / o.batch))


def _schedule(optimiser: OptimiserSettings) -> str:
    """The library's name; its `constant` would leave the warm-up out."""
    constant = optimiser.schedule == "constant" and optimiser.warmup > 0
    return "constant_with_warmup" if constant else optimiser.schedule


def _gpu() -> bool:
    torch = require("torch", "training", "training")
    return bool(torch.cuda.is_available())
