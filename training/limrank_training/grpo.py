"""Reinforcement learning by `trl.GRPOTrainer`, with our prompts, token for token, and our rewards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.requests import end_tokens
from limrank_plugins.errors import BackendError, InputError, require
from limrank_training.adapters import hold_in_full, lora_config
from limrank_training.checkpoints import checkpoint_marks, last_checkpoint
from limrank_training.data.group_layout import GroupExample, GroupLayout, decoded, image_messages
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.data.targets import answer_start
from limrank_training.plans import Plan
from limrank_training.rewards.by_recipe import Reward, completion_text, rewards_for
from limrank_training.sft import TrainingResult, attach, divide_once, history_of, quiet
from limrank_training.trainer_arguments import accumulated_parts, checkpoint_every, common_arguments


def train(
    model: Any,
    data: Any,
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Any] = (),
    log_every: int = 10,
    rewards: dict[str, Reward] | None = None,
) -> TrainingResult:
    """Let the model answer the prompts, and make better answers likelier.

    Dev queries are kept out and not asked about: what is measured is the reward in training.

    Args:
        model: as for `sft.fine_tune`; a model that sees for groups with images.
        data: what `prepare` made.
        plan: with a table `grpo`.
        folder: for checkpoints.
        resume: go on from the last checkpoint in the folder, if there is one.
        callbacks: of `transformers`.
        log_every: steps between two entries of the history.
        rewards: by name; default: those of the recipe's paper.

    Raises:
        InputError: fewer prompts than a batch of answers needs, two groups that cannot be told apart,
            tokens that the reference would not know, or processes that cannot share a step.
        BackendError: a loss or a reward that is no number; or a trl that cannot be given prompts as tokens.
    """
    trl = require("trl", "training", "GRPO")
    assert plan.grpo is not None
    layout: GroupLayout = data.layout
    examples: list[GroupExample] = data.examples
    needed = plan.optimiser.batch * plan.grpo.ahead
    if len(examples) < needed:
        raise InputError(
            f"{needed} prompts are answered at a time (optimiser.batch x grpo.ahead), but there are only "
            f"{len(examples)}: lower optimiser.batch"
        )
    if data.new_tokens and plan.lora is None and plan.grpo.beta > 0:
        raise InputError(
            f"the tokens {data.new_tokens} are new, which the model before training, loaded again for the "
            f"divergence, would not know: train them first, or use adapters"
        )
    rows, ids = _dataset(examples, layout)
    chosen = rewards_for(layout.recipe, plan.grpo.rewards) if rewards is None else rewards
    words = getattr(data.tokenizer, "tokenizer", data.tokenizer)
    ends = end_tokens(model, words)
    start = answer_start(layout.template, layout.reasoning)
    last = last_checkpoint(folder) if resume else None
    trainer = _trainer_class(trl, ids, [example.where for example in examples])(
        model=model,
        reward_funcs=[
            _for_trl(name, reward, examples, layout, ends, start) for name, reward in chosen.items()
        ],
        args=grpo_arguments(plan, len(examples), folder, log_every),
        train_dataset=rows,
        processing_class=data.tokenizer,
        callbacks=[checkpoint_marks(folder, last), *callbacks],
        peft_config=lora_config(model, plan),
    )
    hold_in_full(trainer.model)
    quiet(trainer)
    divide_once(trainer)
    attach(callbacks, trainer)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return TrainingResult(
        trainer.accelerator.unwrap_model(trainer.model), history_of(trainer), int(trainer.state.global_step)
    )


def grpo_arguments(plan: Plan, size: int, folder: Path, log_every: int) -> Any:
    """The trainer's arguments: all that shapes the objective is set, whatever its defaults become.

    Args:
        plan: with a table `grpo`.
        size: prompts.
        folder: for checkpoints.
        log_every: steps between two entries of the history.

    Raises:
        InputError: the processes cannot share a step equally.
    """
    trl = require("trl", "training", "GRPO")
    grpo, o = plan.grpo, plan.optimiser
    assert grpo is not None
    accumulated = accumulated_parts(plan, o.batch * grpo.generations)
    steps = total_steps(plan, size)
    every = checkpoint_every(plan, steps)
    return trl.GRPOConfig(
        **common_arguments(plan, steps, accumulated, every, folder, log_every),
        eval_strategy="no",
        remove_unused_columns=False,
        num_generations=grpo.generations,
        max_completion_length=grpo.completion,
        temperature=grpo.temperature,
        top_p=grpo.top_p,
        top_k=grpo.top_k,
        min_p=None,
        repetition_penalty=1.0,
        beta=grpo.beta,
        loss_type=grpo.loss,
        scale_rewards=grpo.scale,
        reward_weights=list(grpo.weights) or None,
        multi_objective_aggregation="sum_then_normalize",
        epsilon=grpo.epsilon,
        epsilon_high=grpo.epsilon_high,
        delta=None,
        num_iterations=grpo.iterations,
        steps_per_generation=accumulated * grpo.ahead,
        importance_sampling_level=grpo.importance,
        mask_truncated_completions=grpo.mask_truncated,
        use_bias_correction_kl=grpo.corrected_kl,
        top_entropy_quantile=1.0,
        entropy_coef=0.0,
        off_policy_mask_threshold=None,
        sync_ref_model=False,
        disable_dropout=False,
        shuffle_dataset=True,
        use_vllm=grpo.vllm,
        log_completions=False,
    )


def total_steps(plan: Plan, size: int) -> int:
    """Optimiser steps of a run: each batch of answers is gone over `grpo.iterations` times.

    As many prompts as are answered at a time make a round; prompts that fill none are left out of an
    epoch, others in each.
    """
    grpo, o = plan.grpo, plan.optimiser
    assert grpo is not None
    if o.steps is not None:
        return o.steps
    rounds = size // (o.batch * grpo.ahead)
    return max(1, round(rounds * o.epochs) * grpo.ahead * grpo.iterations)


# ---- inside -------------------------------------------------------------------------------------


def _dataset(examples: Sequence[GroupExample], layout: GroupLayout) -> tuple[Any, dict[str, list[int]]]:
    """The trainer's data, rows that say which group they are about; and the tokens of each text.

    Images are decoded when a row is asked for: all of them at once would not fit into memory.

    Raises:
        InputError: two groups read the same, but are not the same tokens; or only some have images.
    """
    datasets = require("datasets", "training", "GRPO")
    has_images = [any(p.images for p in _group(example).passages) for example in examples]
    numbers = list(range(len(examples)))
    if any(has_images):
        if not all(has_images):
            bare = examples[has_images.index(False)]
            raise InputError(f"{bare.where}: there are no images here, but elsewhere: train them apart")
        rows = datasets.Dataset.from_dict({"number": numbers})
        return rows.with_transform(
            lambda rows_asked: _with_images(rows_asked["number"], examples, layout)
        ), {}
    known: dict[str, list[int]] = {}
    texts = [layout.encoder.decode(example.ids) for example in examples]
    for text, example in zip(texts, examples, strict=True):
        # The trainer knows a prompt by its text alone.
        if known.setdefault(text, list(example.ids)) != list(example.ids):
            raise InputError(
                f"{example.where}: another group has the same prompt in other tokens: leave one out"
            )
    return datasets.Dataset.from_dict({"number": numbers, "prompt": texts}), known


def _with_images(
    numbers: Sequence[int], examples: Sequence[GroupExample], layout: GroupLayout
) -> dict[str, list[Any]]:
    prompts = [layout.request(_group(examples[number])).prompt for number in numbers]
    return {
        "number": list(numbers),
        "prompt": [image_messages(prompt) for prompt in prompts],
        "images": [decoded(prompt) for prompt in prompts],
    }


def _group(example: GroupExample) -> PassageGroup:
    assert example.group is not None
    return example.group


def _for_trl(
    name: str,
    reward: Reward,
    examples: Sequence[GroupExample],
    layout: GroupLayout,
    ends: frozenset[int],
    start: str,
) -> Callable[..., list[float]]:
    """A reward as the trainer calls it: from the tokens, as its own texts lack the special ones."""

    def judge(*, completion_ids: Sequence[Sequence[int]], number: Sequence[int], **_: Any) -> list[float]:
        values = []
        for ids, place in zip(completion_ids, number, strict=True):
            value = reward(completion_text(ids, layout.encoder, ends, start), _group(examples[place]))
            if not math.isfinite(value):  # the library would take it for 0
                raise BackendError(f"the reward {name!r} of an answer to {examples[place].where} is {value}")
            values.append(value)
        return values

    judge.__name__ = name
    return judge


def _trainer_class(trl: Any, ids: dict[str, list[int]], wheres: Sequence[str]) -> Any:
    torch = require("torch", "training", "GRPO")
    if not hasattr(trl.GRPOTrainer, "_tokenize_prompts"):
        raise BackendError(
            "this version of trl takes prompts in another way than trl 1.16 does: pip install 'trl>=1.16,<2'"
        )

    class Trainer(trl.GRPOTrainer):  # type: ignore[misc]  # the library is not typed here
        """Gives the model the tokens of inference, and stops at a loss that is no number."""

        def _tokenize_prompts(self, prompts: list[Any]) -> Any:
            # A text tokenised by the library could hold markers that a passage wrote, and two BOS.
            if isinstance(prompts[0], str):
                return [list(ids[prompt]) for prompt in prompts], None, {}
            return super()._tokenize_prompts(prompts)

        def _get_train_sampler(self, dataset: Any = None) -> Any:
            # The library draws each epoch's order from where the last one left the generator, so a run that
            # goes on in a later epoch would see other prompts; here the order depends on the epoch alone.
            sampler = super()._get_train_sampler(dataset)
            seed = self.args.seed
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(seed + epoch)
            return sampler

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
            self.asked = ", ".join(dict.fromkeys(wheres[row["number"]] for row in inputs))
            try:
                return super()._generate_and_score_completions(inputs)
            except RuntimeError as error:
                if "probability tensor" not in str(error):
                    raise
                step = self.state.global_step + 1
                raise BackendError(
                    f"the model's logits are not finite at step {step}, for: {self.asked}"
                ) from error

        def compute_loss(self, *arguments: Any, **named: Any) -> Any:
            loss = super().compute_loss(*arguments, **named)
            if not torch.isfinite(loss).all():
                raise BackendError(
                    f"the loss at step {self.state.global_step + 1} is {loss.item()}, for answers to: "
                    f"{self.asked}. The last checkpoint stands; lower the learning rate, or look at these "
                    f"rows"
                )
            return loss

    return Trainer
