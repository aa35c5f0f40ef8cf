"""Supervised fine-tuning: `transformers.Trainer` owns the loop, `peft` the adapters; the loss is ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, InputError, require
from limrank_training.adapters import with_adapters
from limrank_training.checkpoints import checkpoint_marks, last_checkpoint
from limrank_training.criteria import Criterion, TokenCriterion
from limrank_training.data.collation import packs, repeated_batches
from limrank_training.data.passage_layout import Example
from limrank_training.learning_rates import set_head_rate
from limrank_training.losses import plan_loss
from limrank_training.plans import Plan
from limrank_training.trainer_arguments import training_arguments


@dataclass
class TrainingResult:
    """What a run left behind, in memory.

    Attributes:
        model: the trained one, with its adapters.
        history: what was logged: step, loss, learning rate, dev loss, …
        steps: optimiser steps, earlier parts of the run included.
    """

    model: Any
    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made; the rest is as for `fine_tune`, with dev examples instead of `dev`."""
    pad = data.tokenizer.pad_token_id
    how.setdefault("criterion", TokenCriterion(plan_loss(plan)))
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
    criterion: Criterion | None = None,
    repeats: int = 1,
) -> TrainingResult:
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
        criterion: what a batch costs; default: the likelihood of its learned tokens.
        repeats: how many steps in a row are taken with the same examples.

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
    criterion = TokenCriterion() if criterion is None else criterion
    last = last_checkpoint(folder) if resume else None
    trainer = _trainer_class(transformers, criterion, plan, repeats)(
        model=adapted,
        args=arguments,
        train_dataset=list(data),
        eval_dataset=list(kept) or None,
        data_collator=_collator(criterion, pad, plan.packed),
        callbacks=[checkpoint_marks(folder, last), *callbacks],
    )
    quiet(trainer)
    divide_once(trainer)
    attach(callbacks, trainer)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return TrainingResult(adapted, history_of(trainer), int(trainer.state.global_step))


def attach(callbacks: Sequence[Any], trainer: Any) -> None:
    """Give the trainer to those callbacks that log through it; the library gives them its parts only."""
    for callback in callbacks:
        if hasattr(callback, "attach"):
            callback.attach(trainer)


def history_of(trainer: Any) -> list[dict[str, float]]:
    """What a trainer has logged; what it could not measure is left out."""
    return [{k: float(v) for k, v in entry.items() if v is not None} for entry in trainer.state.log_history]


def quiet(trainer: Any) -> None:
    """Keep the library from printing what it logs: stdout is the command's."""
    transformers = require("transformers", "training", "training")
    trainer.remove_callback(transformers.PrinterCallback)


def divide_once(trainer: Any) -> None:
    """Keep accelerate from dividing by the parts of a step what the trainer has divided already.

    Older versions of transformers (5.4, say) leave that to both of them, and gradients are then too small.
    """
    trainer.accelerator.gradient_accumulation_steps = 1


def _collator(criterion: Criterion, pad: int, packed: bool) -> Callable[[list[Any]], dict[str, Any]]:
    if packed:
        return lambda rows: criterion.batch([e for row in rows for e in row], pad, packed=True)
    return lambda rows: criterion.batch(rows, pad)


def _spoilt(logits: Any, rows: Sequence[Any]) -> list[str]:
    """The rows whose own logits are no numbers; all, where that cannot be told (packed rows)."""
    torch = require("torch", "training", "training")
    apart = logits.detach().flatten(1) if len(logits) == len(rows) and logits.dim() > 1 else logits[:0]
    spoilt = [str(row) for row, own in zip(rows, apart, strict=False) if not torch.isfinite(own).all()]
    return spoilt or [str(row) for row in rows]


def _trainer_class(transformers: Any, criterion: Criterion, plan: Plan, repeats: int) -> Any:
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
            count = torch.tensor(sum(criterion.count(batch) for batch in samples), device=self.args.device)
            return samples, self.accelerator.gather(count).sum()

        def create_optimizer(self, *arguments: Any) -> Any:
            optimizer = super().create_optimizer(*arguments)
            if plan.optimiser.head is not None:
                set_head_rate(self.model, optimizer, plan.optimiser.head)
            return optimizer

        def _get_train_sampler(self, *arguments: Any) -> Any:
            if repeats == 1:
                return super()._get_train_sampler(*arguments)
            size = len(self.train_dataset)
            return repeated_batches(size, plan.optimiser.batch, repeats, plan.seed)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            logits = criterion.logits(model, inputs)
            total = criterion.total(logits, inputs)
            if not model.training:
                num_items_in_batch = None  # of a dev batch the library counts tokens
            count = num_items_in_batch if num_items_in_batch is not None else criterion.count(inputs)
            loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
            if not torch.isfinite(loss):
                rows = ", ".join(_spoilt(logits, inputs["rows"])[:8])
                raise BackendError(
                    f"the loss at step {self.state.global_step + 1} is {loss.item()}, for: {rows}. The last "
                    f"checkpoint stands; lower the learning rate, or look at these rows"
                )
            if num_items_in_batch is not None and self.args.world_size > 1:
                loss = loss * self.args.world_size  # the gradients of the processes are averaged
            return (loss, {"logits": logits}) if return_outputs else loss

    return Trainer
