"""Training cross-encoders by `CrossEncoderTrainer`, as ChatGPT-RetrievalQA does (arXiv 2305.02320)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.loading import loading, refuse_own_modules
from limrank_plugins.errors import BackendError, InputError, require
from limrank_training.checkpoints import checkpoint_marks, last_checkpoint
from limrank_training.data.negatives import NegativeSampler
from limrank_training.data.query_passages import QueryPassages, read_query_passages
from limrank_training.encoders.encoder_data import encoder_data, split_report
from limrank_training.plans import PairSettings, Plan
from limrank_training.sft import TrainingResult, attach, divide_once, history_of, quiet
from limrank_training.trainer_arguments import (
    accumulated_parts,
    checkpoint_every,
    common_arguments,
    total_steps,
)
from limrank_training.training_data import TrainingData, base_tokenizer

_FRAME = 3
"""`[CLS]` query `[SEP]` passage `[SEP]`; some models have one more."""


@dataclass(frozen=True, slots=True)
class TextPair:
    """A query and a passage, cut as the plan says; `label` is 1.0 where it answers, else 0.0."""

    query: str
    passage: str
    label: float
    where: str


def prepare(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Every positive, and `pairs.negatives` for each; see `training_data.prepare`, `read_query_passages`.

    Raises:
        InputError: a row that is not as it should be, or a query for which there is no negative at all.
    """
    assert plan.pairs is not None
    tokenizer = base_tokenizer(plan.base) if tokenizer is None else tokenizer

    def examples_of(queries: list[QueryPassages]) -> tuple[list[TextPair], dict[str, int]]:
        return _examples(queries, plan, tokenizer)

    return encoder_data(plan, rows, read_query_passages(rows), examples_of, tokenizer, _PairView())


def _examples(
    queries: list[QueryPassages], plan: Plan, tokenizer: Any
) -> tuple[list[TextPair], dict[str, int]]:
    assert plan.pairs is not None
    sampler = NegativeSampler(queries, plan.seed)
    pairs, lengths, cut = [], [], 0
    for query in queries:
        for text, label in _labelled_passages(query, sampler, plan.pairs):
            short_query, query_length = shortened(tokenizer, query.query, plan.pairs.query)
            passage, passage_length = shortened(tokenizer, text, plan.pairs.passage)
            pairs.append(TextPair(short_query, passage, label, query.where))
            lengths.append(min(query_length + passage_length + _FRAME, plan.cutoff))
            cut += passage != text
    positives = sum(pair.label == 1.0 for pair in pairs)
    return pairs, split_report(
        len(queries), lengths, positives=positives, negatives=len(pairs) - positives, cut=cut
    )


def _labelled_passages(
    query: QueryPassages, sampler: NegativeSampler, pairs: PairSettings
) -> list[tuple[str, float]]:
    """The query's passages, each once, with 1.0 for those that answer it."""
    if not query.positives:
        return []
    wanted = pairs.negatives * len(query.positives)
    negatives = sampler.negatives(query, query.positives[0], wanted)
    if wanted and not negatives:
        raise InputError(
            f"{query.where}: there is no passage that does not answer the query, neither its own nor "
            f"another query's in its split"
        )
    return [*((text, 1.0) for text in query.positives), *((text, 0.0) for text in negatives)]


def shortened(tokenizer: Any, text: str, most: int) -> tuple[str, int]:
    """The text's beginning of at most so many tokens, special ones not counted, and how many it has."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(offsets) <= most:
        return text, len(offsets)
    return text[: offsets[most - 1][1]], most


class _PairView:
    def shown(self, example: TextPair) -> tuple[str, str]:
        """Both texts."""
        return f"{example.query}\n{example.passage}", f"the pair's label is {example.label:g}"


def load(plan: Plan, tokenizer: Any) -> Any:
    """A cross-encoder that is gone on with, or the plan's base with a head drawn by its seed; float32.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded, or has more than one output.
    """
    torch = require("torch", "training", "training")
    library = require("sentence_transformers", "training", "cross-encoders")
    with loading(plan.base) as source, torch.random.fork_rng(devices=[]):
        refuse_own_modules(source, False)
        torch.manual_seed(plan.seed)
        model = library.CrossEncoder(
            source, num_labels=1, max_length=plan.cutoff, device="cpu", model_kwargs={"dtype": torch.float32}
        )
    if model.num_labels != 1:
        raise BackendError(f"{plan.base} has {model.num_labels} outputs: give a base with one, or with none")

    def write(place: Path) -> None:
        """Write what `CrossEncoder` and the recipe `cross-encoder` read."""
        before = model.tokenizer.split_special_tokens
        model.tokenizer.split_special_tokens = False
        model.save_pretrained(str(place), create_model_card=False)
        model.tokenizer.split_special_tokens = before

    # A passage that says "[SEP]" stays text, as at inference.
    model.tokenizer.split_special_tokens = True
    model.write = write
    return model


def train(
    model: Any,
    data: TrainingData,
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Any] = (),
    log_every: int = 10,
) -> TrainingResult:
    """Train on what `prepare` made with binary cross-entropy; as `sft.train`.

    Raises:
        InputError: a batch that the processes cannot share.
        BackendError: a loss that is no number.
    """
    parts = require("sentence_transformers.cross_encoder", "training", "cross-encoders")
    losses = require("sentence_transformers.cross_encoder.losses", "training", "cross-encoders")
    torch = require("torch", "training", "training")
    loss = losses.BinaryCrossEntropyLoss(model, activation_fn=torch.nn.Identity(), pos_weight=None)
    last = last_checkpoint(folder) if resume else None
    trainer = _trainer_class(parts)(
        model=model,
        args=arguments(plan, len(data.examples), folder, bool(data.dev), log_every),
        train_dataset=_dataset(data.examples),
        eval_dataset=_dataset(data.dev) if data.dev else None,
        loss=loss,
        callbacks=[checkpoint_marks(folder, last), *callbacks],
    )
    quiet(trainer)
    divide_once(trainer)
    attach(callbacks, trainer)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return TrainingResult(model, history_of(trainer), int(trainer.state.global_step))


def arguments(plan: Plan, size: int, folder: Path, has_dev: bool, log_every: int) -> Any:
    """The trainer's arguments: all that matters is set, whatever its defaults become."""
    parts = require("sentence_transformers.cross_encoder", "training", "cross-encoders")
    assert plan.pairs is not None
    steps = total_steps(plan, size)
    every = checkpoint_every(plan, steps)
    accumulated = accumulated_parts(plan, plan.optimiser.batch)
    settings = common_arguments(plan, steps, accumulated, every, folder, log_every)
    if plan.pairs.warmup is not None:
        settings["warmup_steps"] = plan.pairs.warmup
    return parts.CrossEncoderTrainingArguments(
        **settings,
        per_device_eval_batch_size=plan.optimiser.part,
        eval_strategy="steps" if has_dev else "no",
        eval_steps=every if has_dev else None,
        prediction_loss_only=True,
        batch_sampler="batch_sampler",
        multi_dataset_batch_sampler="proportional",
        prompts=None,
        learning_rate_mapping={},
    )


def _dataset(pairs: Sequence[TextPair]) -> Any:
    """Columns in the order that the loss takes them: query, passage, label."""
    datasets = require("datasets", "training", "cross-encoders")
    return datasets.Dataset.from_dict(
        {
            "query": [pair.query for pair in pairs],
            "passage": [pair.passage for pair in pairs],
            "label": [pair.label for pair in pairs],
        }
    )


def _trainer_class(parts: Any) -> Any:
    torch = require("torch", "training", "training")

    class Trainer(parts.CrossEncoderTrainer):  # type: ignore[misc]  # the library is not typed here
        """Stops at a loss that is no number."""

        def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
            result = super().compute_loss(model, inputs, *others, **named)
            loss = result[0] if isinstance(result, tuple) else result
            if not torch.isfinite(loss).all():
                queries = "; ".join(dict.fromkeys(str(query)[:60] for query in inputs.get("query", ())))
                raise BackendError(
                    f"the loss at step {self.state.global_step + 1} is {loss.item()}, for: {queries}. The "
                    f"last checkpoint stands; lower the learning rate, or look at these rows"
                )
            return result

    return Trainer
