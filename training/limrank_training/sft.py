"""Supervised fine-tuning: `transformers.Trainer` owns the loop, `peft` the adapters; the loss is ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, InputError, require
from limrank_training.data.collating import collate, packs
from limrank_training.data.examples import Example
from limrank_training.losses.tokens import IGNORED
from limrank_training.plans import Plan


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
) -> Trained:
    """Train a model that is loaded; adapters are put on as the plan says.

    The loss of a step is the mean over all learned tokens of its batch, however the batch is cut into
    parts and spread over processes.

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
    trainer = _trainer_class(transformers)(
        model=adapted,
        args=arguments,
        train_dataset=list(data),
        eval_dataset=list(kept) or None,
        data_collator=_collator(pad, plan.packed),
        callbacks=list(callbacks),
    )
    last = last_checkpoint(folder) if resume else None
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    history = [{k: float(v) for k, v in entry.items()} for entry in trainer.state.log_history]
    return Trained(adapted, history, int(trainer.state.global_step))


def with_adapters(model: Any, plan: Plan) -> Any:
    """The model with the plan's adapters, whose first state depends on the plan's seed alone."""
    torch = require("torch", "training", "training")
    if plan.lora is None:
        return model
    peft = require("peft", "training", "LoRA")
    lora = plan.lora
    config = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        modules_to_save=_embedding_names(model) if lora.embeddings else None,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return peft.get_peft_model(model, config)


def training_arguments(plan: Plan, size: int, folder: Path, has_dev: bool, log_every: int) -> Any:
    """The trainer's arguments: all that matters is set, whatever its defaults become.

    Raises:
        InputError: the batch cannot be shared equally by the processes.
    """
    import os

    transformers = require("transformers", "training", "training")
    o = plan.optimiser
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if o.batch % (o.part * world):
        raise InputError(
            f"optimiser.batch={o.batch} cannot be shared by {world} processes with parts of {o.part}: "
            f"make it a multiple of {o.part * world}"
        )
    accumulated = o.batch // (o.part * world)
    steps = total_steps(plan, size)
    every = max(1, math.ceil(steps / max(1.0, o.epochs * plan.checkpoints))) if o.steps is None else steps
    precise = plan.precision
    return transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=o.part,
        per_device_eval_batch_size=o.part,
        gradient_accumulation_steps=accumulated,
        max_steps=steps,
        learning_rate=o.rate,
        lr_scheduler_type=o.schedule,
        warmup_steps=round(o.warmup * steps),
        weight_decay=o.decay,
        max_grad_norm=o.clip,
        optim="adamw_torch",
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        seed=plan.seed,
        data_seed=plan.seed,
        bf16=precise == "bfloat16",
        fp16=precise == "float16",
        logging_strategy="steps",
        logging_steps=log_every,
        logging_first_step=True,
        save_strategy="steps",
        save_steps=every,
        eval_strategy="steps" if has_dev else "no",
        eval_steps=every if has_dev else None,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_drop_last=False,
        use_cpu=not _gpu(),
        label_names=["labels"],
        prediction_loss_only=True,
    )


def total_steps(plan: Plan, size: int) -> int:
    """Optimiser steps of a run over so many examples (rows, where they are packed)."""
    o = plan.optimiser
    return o.steps if o.steps is not None else max(1, math.ceil(size * o.epochs / o.batch))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    found = [
        (int(place.name.removeprefix("checkpoint-")), place)
        for place in folder.glob("checkpoint-*")
        if place.name.removeprefix("checkpoint-").isdigit() and (place / "trainer_state.json").is_file()
    ]
    return max(found)[1] if found else None


def _collator(pad: int, packed: bool) -> Callable[[list[Any]], dict[str, Any]]:
    if packed:
        return lambda rows: collate([e for row in rows for e in row], pad, packed=True)
    return partial(collate, pad=pad)


def _trainer_class(transformers: Any) -> Any:
    torch = require("torch", "training", "training")

    class Trainer(transformers.Trainer):  # type: ignore[misc]  # the library is not typed here
        """Takes the mean over all learned tokens of the step, and stops at a loss that is no number."""

        # The loss is divided by the tokens of the whole step here, so by nothing else.
        loss_is_scaled_for_ga = True

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.model_accepts_loss_kwargs = True

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            given = {key: value for key, value in inputs.items() if key not in ("rows", "labels")}
            outputs = model(**given, use_cache=False)
            labels = inputs["labels"]
            # Half precision is not enough for a sum over a vocabulary.
            logits = outputs.logits[:, :-1].float()
            wanted = labels[:, 1:].to(logits.device)
            total = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="sum"
            )
            count = num_items_in_batch if num_items_in_batch is not None else (wanted != IGNORED).sum()
            loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
            if not torch.isfinite(loss):
                rows = ", ".join(str(row) for row in inputs["rows"][:8])
                raise BackendError(
                    f"the loss at step {self.state.global_step + 1} is {loss.item()}, for: {rows}. The last "
                    f"checkpoint stands; lower the learning rate, or look at these rows"
                )
            if num_items_in_batch is not None and self.args.world_size > 1:
                loss = loss * self.args.world_size  # the gradients of the processes are averaged
            return (loss, outputs) if return_outputs else loss

    return Trainer


def _embedding_names(model: Any) -> list[str]:
    """The last parts of the names of the input and output embeddings."""
    wanted = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    return sorted({name.rpartition(".")[2] for name, module in model.named_modules() if id(module) in wanted})


def _gpu() -> bool:
    torch = require("torch", "training", "training")
    return bool(torch.cuda.is_available())
