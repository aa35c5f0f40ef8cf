"""Training GLiClass (arXiv 2508.07662): labels that fit a text or do not, then optionally PPO over labels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.gliclass.label_inputs import LABEL, SEPARATOR, LabelInputs
from limrank_plugins.backends.local.encoder_inputs import longest
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.classes import JointClasses, PassageClass
from limrank_plugins.recipes import load_recipe
from limrank_plugins.seeding import seeded
from limrank_training.added_tokens import add_markers
from limrank_training.data.query_passages import QueryPassages, read_query_passages
from limrank_training.encoders.encoder_data import encoder_data, split_report
from limrank_training.encoders.gliclass_module import LabelledText, gliclass_module, labelled_batch
from limrank_training.encoders.policy import PolicyCriterion
from limrank_training.losses import plan_loss
from limrank_training.losses.multi_label import focal_bce
from limrank_training.plans import Plan
from limrank_training.sft import TrainingResult, fine_tune
from limrank_training.training_data import TrainingData, base_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

POLICY = "policy"


def prepare(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Texts with labels as the recipe asks about them: see `training_data.prepare`, `read_query_passages`.

    With `gliclass` each passage is a text and its query the only label; with `gliclass:mode=joint` the
    query is the text, and its passages, at most `classes.most`, are the labels, in an order drawn by the
    plan's seed.

    Raises:
        InputError: a row that is not as it should be, another recipe, or labels that do not fit the cutoff.
    """
    assert plan.classes is not None
    readout = load_recipe(plan.recipe).readout
    if not isinstance(readout, JointClasses | PassageClass):
        raise InputError(f"objective gliclass cannot train recipe {plan.recipe!r}, which asks something else")
    is_joint = isinstance(readout, JointClasses)
    tokenizer = base_tokenizer(plan.base) if tokenizer is None else tokenizer
    new_tokens = add_markers(tokenizer, (LABEL, SEPARATOR))
    inputs = LabelInputs(tokenizer, prompt_first=True)
    numbers = count()

    def examples_of(queries: list[QueryPassages]) -> tuple[list[LabelledText], dict[str, int]]:
        examples = []
        for query in queries:
            for text, labels, fits in _labelled_texts(query, plan, is_joint):
                row = inputs.row(text, labels, plan.cutoff)
                if isinstance(row, str):
                    raise InputError(f"{query.where}: {row}")
                examples.append(LabelledText(row, fits, text, labels, next(numbers), query.where))
        lengths = [len(example.row.ids) for example in examples]
        return examples, split_report(
            len(queries), lengths, cut=sum(example.row.cut > 0 for example in examples)
        )

    queries = read_query_passages(rows)
    return encoder_data(plan, rows, queries, examples_of, tokenizer, _LabelView(), new_tokens)


def _labelled_texts(
    query: QueryPassages, plan: Plan, is_joint: bool
) -> list[tuple[str, tuple[str, ...], tuple[bool, ...]]]:
    """Texts, their labels, and whether each label fits."""
    assert plan.classes is not None
    positives = [(text, True) for text in query.positives]
    if not is_joint:
        passages = positives + [(text, False) for text in query.negatives]
        return [(text, (query.query,), (fits,)) for text, fits in passages]
    draw = seeded(json.dumps([plan.seed, query.query]))
    most = plan.classes.most
    kept = positives[:most]
    others = draw.sample(query.negatives, min(len(query.negatives), most - len(kept)))
    shown = kept + [(text, False) for text in others]
    draw.shuffle(shown)  # labels see each other: an order with those that fit in front would be learned
    return [(query.query, tuple(text for text, _ in shown), tuple(fits for _, fits in shown))]


class _LabelView:
    def shown(self, example: LabelledText) -> tuple[str, str]:
        """The input as text."""
        right = [label for label, fits in zip(example.labels, example.fits, strict=True) if fits]
        read = "".join(f"{LABEL}{label}" for label in example.labels) + f"{SEPARATOR}{example.text}"
        return read, f"{len(right)} of {len(example.labels)} labels fit: {'; '.join(right)}"


@dataclass(frozen=True, slots=True)
class LabelCriterion:
    """A loss over labels, of which each of a step weighs the same.

    Attributes:
        model: the module that is trained, for its input.
        loss: of logits and labels, with `real`; a mean.
    """

    model: Any
    loss: Callable[..., Tensor] = focal_bce

    def batch(self, examples: Sequence[LabelledText], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """Tokens side by side, verdicts as `labels`, and which of these are real."""
        return labelled_batch(self.model, examples)

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """One for each label, shape (rows, most labels)."""
        logits: Tensor = model(batch)
        return logits

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over labels."""
        mean = self.loss(logits.float(), batch["labels"], real=batch["real"])
        return mean * batch["real"].sum()

    def count(self, batch: dict[str, Any]) -> int:
        """The labels."""
        return int(batch["real"].sum())


def load(plan: Plan, tokenizer: Any) -> Any:
    """A GLiClass of ours that is gone on with, or the plan's base with a head drawn by its seed.

    Raises:
        InputError: there is no such folder, it is no hub name, or it reads less than the cutoff.
        BackendError: it cannot be loaded.
    """
    model = gliclass_module(plan.base, plan.seed)
    held = model.held
    room = longest(held.module["encoder"].config, held.tokenizer)
    if room < plan.cutoff:
        raise InputError(f"{plan.base} reads {room} tokens: set cutoff to {room} or less")
    return model


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made: the labels, then, where the plan has a policy, actions; as `sft.train`.

    The second stage keeps its checkpoint in `policy/`; where it is killed it begins anew, from the end
    of the first.
    """
    assert plan.classes is not None
    criterion = LabelCriterion(model, plan_loss(plan))
    trained = fine_tune(model, 0, data.examples, plan, folder, dev=data.dev, criterion=criterion, **how)
    policy = plan.classes.policy
    if policy is None:
        return trained
    rounds = max(1, round(len(data.examples) // policy.batch * policy.epochs))
    second = replace(
        plan,
        optimiser=replace(
            plan.optimiser,
            rate=policy.rate,
            head=policy.head,
            batch=policy.batch,
            part=policy.part,
            steps=rounds * policy.iterations,
        ),
    )
    after = fine_tune(
        model,
        0,
        data.examples,
        second,
        folder / POLICY,
        criterion=PolicyCriterion(model, policy, plan.seed),
        repeats=policy.iterations,
        **how,
    )
    later = [entry | {"step": entry["step"] + trained.steps} for entry in after.history if "step" in entry]
    return TrainingResult(model, [*trained.history, *later], trained.steps + after.steps)
