"""Supervised fine-tuning: `transformers.Trainer` owns the loop, `peft` the adapters; the loss is ours."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, InputError, require
from limrank_training.checkpoints import checkpoint_marks, last_checkpoint
from limrank_training.data.collating import packs
from limrank_training.data.examples import Example
from limrank_training.learning import Learning, Tokens
from limrank_training.plans import Plan
from limrank_training.stepping import batches_again, set_head_rate


@dataclass
class Trained:
    """What a run left behind, in memory.

    Attributes:
        model: the trained one, with its adapters.
        history: what was logged: step, loss, learning rate, dev loss, …
        steps: optimiser steps, earlier parts of the run included.
    """

    model: Any
    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> Trained:
    """Train on what `prepare` made; the rest is as for `fine_tune`, with dev examples instead of `dev`."""
    pad = data.tokenizer.pad_token_id
    return fine_tune(model, 0 if pad is None else pad, data.examples, plan, folder, dev=data.dev, **how)


def fine_tune(
    model: Any,
    pad: int,
    examples: Sequence[Example],
    plan: Plan,
    folder: Path,
    *,
    dev: Sequence[Example] = (),
    resume: bool = False,
    callbacks: Sequence[Any] = (),
    log_every: int = 10,
    learning: Learning | None = None,
    again: int = 1,
) -> Trained:
    """Train a model that is loaded; adapters are put on as the plan says.

    The loss of a step is the mean over all learned tokens of its batch (or over what else the objective
    counts), however the batch is cut into parts and spread over processes.

    Args:
        model: a causal language model of the `transformers` library, in training precision.
        pad: a token to fill rows with.
        examples: what is learned.
        plan: see there.
        folder: holds checkpoints; a finished one is never replaced by half of a new one.
        dev: examples whose loss is measured at every checkpoint.
        resume: go on from the last checkpoint in the folder, if there is one.
        callbacks: of `transformers`.
        log_every: steps between two entries of the history.
        learning: what a batch costs; default: the likelihood of its learned tokens.
        again: how many steps in a row are taken with the same examples.

    Raises:
        InputError: no examples, or a batch that the processes cannot share.
        BackendError: a loss that is no number; it names the rows it came from.
    """
    if not examples:
        raise InputError("there is nothing to train on: no example is left")
    transformers = require("transformers", "training", "training")
    adapted = with_adapters(model, plan)
    arguments = training_arguments(plan, len(examples), folder, bool(dev), log_every)
    data: Sequence[Any] = packs(examples, plan.cutoff) if plan.packed else examples
    kept: Sequence[Any] = [[e] for e in dev] if plan.packed else dev
    learned = Tokens() if learning is None else learning
    last = last_checkpoint(folder) if resume else None
    trainer = _trainer_class(transformers, learned, plan, again)(
        model=adapted,
        args=arguments,
        train_dataset=list(data),
        eval_dataset=list(kept) or None,
        data_collator=_collator(learned, pad, plan.packed),
        callbacks=[checkpoint_marks(folder, last), *callbacks],
    )
    quiet(trainer)
    attach(callbacks, trainer)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return Trained(adapted, history_of(trainer), int(trainer.state.global_step))


def attach(callbacks: Sequence[Any], trainer: Any) -> None:
    """Give the trainer to those callbacks that log through it; the library gives them its parts only."""
    for callback in callbacks:
        if hasattr(callback, "attach"):
            callback.attach(trainer)


def history_of(trainer: Any) -> list[dict[str, float]]:
    """What a trainer has logged; what it could not measure is left out."""
    return [{k: float(v) for k, v in one.items() if v is not None} for one in trainer.state.log_history]


def quiet(trainer: Any) -> None:
    """Keep the library from printing what it logs: stdout is the command's."""
    transformers = require("transformers", "training", "training")
    trainer.remove_callback(transformers.PrinterCallback)


def with_adapters(model: Any, plan: Plan) -> Any:
    """The model with the plan's adapters, whose first state depends on the plan's seed alone."""
    torch = require("torch", "training", "training")
    config = lora_config(model, plan)
    if config is None:
        return model
    peft = require("peft", "training", "LoRA")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return peft.get_peft_model(model, config)


def lora_config(model: Any, plan: Plan) -> Any:
    """The plan's adapters as peft wants them described; None for none."""
    if plan.lora is None:
        return None
    peft = require("peft", "training", "LoRA")
    lora = plan.lora
    return peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        modules_to_save=[*(_embedding_names(model) if lora.embeddings else []), *lora.whole] or None,
        task_type="CAUSAL_LM",
    )


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
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": o.part,
        "gradient_accumulation_steps": accumulated,
        "max_steps": steps,
        "learning_rate": o.rate,
        "lr_scheduler_type": o.schedule,
        "warmup_steps": round(o.warmup * steps),
        "weight_decay": o.decay,
        "max_grad_norm": o.clip,
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "neftune_noise_alpha": o.neftune or None,
        "gradient_checkpointing": plan.recompute,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if plan.recompute else None,
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


def reporters() -> list[str]:
    """Where the library logs to, too: TensorBoard where it is installed, W&B where a project is named."""
    found = ["tensorboard"] if find_spec("tensorboard") else []
    return [*found, "wandb"] if find_spec("wandb") and os.environ.get("WANDB_PROJECT") else found


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


def _collator(learning: Learning, pad: int, packed: bool) -> Callable[[list[Any]], dict[str, Any]]:
    if packed:
        return lambda rows: learning.batch([e for row in rows for e in row], pad, packed=True)
    return lambda rows: learning.batch(rows, pad)


def _trainer_class(transformers: Any, learning: Learning, plan: Plan, again: int) -> Any:
    torch = require("torch", "training", "training")

    class Trainer(transformers.Trainer):  # type: ignore[misc]  # the library is not typed here
        """Divides what a step costs by what it counts, and stops at a loss that is no number."""

        # The loss is divided by the count of the whole step here, so by nothing else.
        loss_is_scaled_for_ga = True

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.model_accepts_loss_kwargs = True

        def get_batch_samples(self, *arguments: Any) -> tuple[list[Any], Any]:
            samples, _ = super().get_batch_samples(*arguments)
            count = torch.tensor(sum(learning.count(batch) for batch in samples), device=self.args.device)
            return samples, self.accelerator.gather(count).sum()

        def create_optimizer(self, *arguments: Any) -> Any:
            made = super().create_optimizer(*arguments)
            if plan.optimiser.head is not None:
                set_head_rate(self.model, made, plan.optimiser.head)
            return made

        def _get_train_sampler(self, *arguments: Any) -> Any:
            if again == 1:
                return super()._get_train_sampler(*arguments)
            return batches_again(len(self.train_dataset), plan.optimiser.batch, again, plan.seed)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            logits = learning.logits(model, inputs)
            total = learning.total(logits, inputs)
            if not model.training:
                num_items_in_batch = None  # of a dev batch the library counts tokens
            count = num_items_in_batch if num_items_in_batch is not None else learning.count(inputs)
            loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
            if not torch.isfinite(loss):
                rows = ", ".join(str(row) for row in inputs["rows"][:8])
                raise BackendError(
                    f"the loss at step {self.state.global_step + 1} is {loss.item()}, for: {rows}. The last "
                    f"checkpoint stands; lower the learning rate, or look at these rows"
                )
            if num_items_in_batch is not None and self.args.world_size > 1:
                loss = loss * self.args.world_size  # the gradients of the processes are averaged
            return (loss, {"logits": logits}) if return_outputs else loss

    return Trainer


def _embedding_names(model: Any) -> list[str]:
    """The last parts of the names of the input and output embeddings."""
    wanted = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    return sorted({name.rpartition(".")[2] for name, module in model.named_modules() if id(module) in wanted})


def _gpu() -> bool:
    torch = require("torch", "training", "training")
    return bool(torch.cuda.is_available())
