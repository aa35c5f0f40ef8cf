"""Score distillation: the two labels' difference, where inference reads it, follows a teacher's score.

What is learned is log P(relevant) - log P(not) behind the prompt of inference without reasoning, the number
whose sigmoid is the reranker's score. Nothing is written, so an example is the prompt alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import ReadLabels
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError, require
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import load_recipe
from limrank_training import sft
from limrank_training.added_tokens import add_tokens
from limrank_training.data.collation import collate
from limrank_training.data.passage_layout import Example, fitted_passage
from limrank_training.data.passage_rows import PassageRow, read_passage_rows
from limrank_training.data.teacher_scores import as_logits
from limrank_training.losses import named_loss, plan_loss
from limrank_training.losses.regression import mse
from limrank_training.plans import Plan
from limrank_training.training_data import TrainingData, base_tokenizer, lay_out

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ScoredExample(Example):
    """A passage as inference asks about it.

    Attributes:
        labels: the tokens of the two labels, the relevant one first.
        target: what their logits' difference is to be.
        query: whose passage it is.
    """

    labels: tuple[int, ...] = ()
    target: float = 0.0
    query: str = ""


ScoredPassages = tuple[ScoredExample, ...]
"""What a loss is taken over: one passage, or several of one query."""


@dataclass(frozen=True, slots=True)
class ScoreLayout:
    """How rows with logits for scores become examples.

    Attributes:
        readout: of the recipe that is trained; it asks the question.
        template: its prompt.
        encoder: the tokenizer of inference.
        cutoff: the most tokens of an example; the passage is cut to it.
        least_passage: tokens of a passage that are always kept, before a row is dropped.
    """

    readout: YesNo
    template: Template
    encoder: PromptEncoder
    cutoff: int
    least_passage: int = 64

    def example(self, row: PassageRow) -> ScoredExample | None:
        """The row's example; None where it does not fit even with a short passage."""
        assert row.score is not None
        request = self.request(row)
        encoded = self.encoder.encode(request.prompt)
        fitted = fitted_passage(encoded, self.cutoff, self.least_passage)
        if fitted is None:
            return None
        labels = tuple(self.encoder.label_ids(request.labels, encoded.end))
        ids = tuple(fitted.ids)
        return ScoredExample(ids, len(ids), fitted.cut, 0, row.where, labels, row.score, row.query)

    def request(self, row: PassageRow) -> ReadLabels:
        """What is asked at inference without reasoning."""
        settings = Settings(reasoning="none")
        asked = self.readout.ask(Query(row.query), [Document(row.passage)], self.template, settings)
        (request,) = next(asked)
        assert isinstance(request, ReadLabels)
        return request


def prepare_scored(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Passages with a teacher's scores; see `training_data.prepare`.

    Raises:
        InputError: as there; or a recipe that reads no two labels, or scores that teach nothing.
    """
    assert plan.teacher is not None
    recipe = load_recipe(plan.recipe)
    template = recipe.load_template()
    if template is None or not isinstance(recipe.readout, YesNo) or len(template.labels) != 2:
        raise InputError(
            f"objective distil trains recipes that read two labels, such as limrank; {plan.recipe!r} does not"
        )
    if tokenizer is None:
        tokenizer = base_tokenizer(plan.base)
    new_tokens = add_tokens(tokenizer, plan.tokens if template.no_think else ())
    layout = ScoreLayout(recipe.readout, template, PromptEncoder(tokenizer), plan.cutoff)
    scored, facts = as_logits(list(read_passage_rows(rows, traces=False, scores=True)), plan.teacher)
    data = lay_out(plan, rows, scored, layout, tokenizer, new_tokens)
    data.report["scores"] = facts
    if not named_loss(plan).is_of_queries:
        return replace(data, examples=[(one,) for one in data.examples], dev=[(one,) for one in data.dev])
    examples, dev = (of_queries(part, plan.lists.size) for part in (data.examples, data.dev))
    if not any(len({one.target for one in passages}) > 1 for passages in examples):
        raise InputError(
            f"{os.fspath(rows)}: loss {plan.loss} learns what tells a query's passages apart, but no query "
            f"has two with different scores"
        )
    return replace(data, examples=examples, dev=dev)


def of_queries(examples: Sequence[ScoredExample], size: int) -> list[ScoredPassages]:
    """The passages of each query together, in even parts of at most `size`; one that is alone is left out.

    A part takes every n-th passage, as files put the relevant ones first.
    """
    by_query: dict[str, list[ScoredExample]] = {}
    for example in examples:
        by_query.setdefault(example.query, []).append(example)
    parts = []
    for passages in by_query.values():
        count = -(-len(passages) // size)
        parts += [tuple(passages[start::count]) for start in range(count)]
    return [part for part in parts if len(part) > 1]


@dataclass(frozen=True, slots=True)
class ScoreCriterion:
    """A loss of scores and targets, of which each passage, or each query's passages, weighs the same.

    Attributes:
        loss: of scores and targets, both of shape (passages,).
    """

    loss: Callable[[Tensor, Tensor], Tensor] = mse

    def batch(self, examples: Sequence[ScoredPassages], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """As `collate` of all passages, with where they are read, labels' tokens and targets (`labels`)."""
        assert not packed
        torch = require("torch", "training", "training")
        passages = [one for together in examples for one in together]
        return collate(passages, pad) | {
            "places": torch.tensor([len(one.ids) - 1 for one in passages]),
            "tokens": torch.tensor([one.labels for one in passages]),
            # The library measures a dev loss only where a batch has something of this name.
            "labels": torch.tensor([one.target for one in passages]),
            "sizes": [len(together) for together in examples],
        }

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """The two labels' logits behind each prompt, shape (passages, 2), in float32."""
        torch = require("torch", "training", "training")
        # Only where a row ends is the vocabulary asked about; rows of other lengths end elsewhere.
        kept, of_row = torch.unique(batch["places"], return_inverse=True)
        arguments = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
        logits = model(**arguments, use_cache=False, logits_to_keep=kept).logits
        last = logits[torch.arange(len(of_row), device=logits.device), of_row]
        chosen: Tensor = last.float().gather(1, batch["tokens"])
        return chosen

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over passages, or over queries."""
        scores = (logits[:, 0] - logits[:, 1]).split(batch["sizes"])
        targets = batch["labels"].split(batch["sizes"])
        costs = [self.loss(own, wanted) for own, wanted in zip(scores, targets, strict=True)]
        total: Tensor = sum(costs[1:], costs[0])
        return total

    def count(self, batch: dict[str, Any]) -> int:
        """The passages, or the queries."""
        return len(batch["sizes"])


def train(model: Any, data: TrainingData, plan: Plan, folder: Path, **how: Any) -> sft.TrainingResult:
    """Train on what `prepare_scored` made; as `sft.train`."""
    return sft.train(model, data, plan, folder, criterion=ScoreCriterion(plan_loss(plan)), **how)
