"""Query likelihood that tells passages apart: a query becomes likelier behind those that help with it.

What is learned is the number that recipe `qlm` ranks by: the mean log-probability of the query's tokens
behind a passage. A loss over the passages of one query compares it (arXiv 2010.03073; its RLL is a hinge on
pairs). Beside it the query's own likelihood behind the best passages keeps the model able to ask. It
can still learn how the passages of one set read: docs/results/limrank-open-smollm2.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import Likelihood
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError, require
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.likelihood import QueryLikelihood
from limrank_plugins.recipes import load_recipe
from limrank_plugins.segments import Segment
from limrank_training import sft
from limrank_training.added_tokens import add_tokens
from limrank_training.data.collation import collate
from limrank_training.data.group_rows import read_groups
from limrank_training.data.passage_layout import Example, fitted_passage
from limrank_training.losses import plan_loss
from limrank_training.losses.next_token import IGNORED
from limrank_training.losses.ranking import ranknet
from limrank_training.plans import Plan, QlmSettings
from limrank_training.training_data import TrainingData, base_tokenizer, lay_out

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """A passage of a group, as inference asks about it.

    Attributes:
        query, document: see there.
        rank: among the group's passages, from 1; equal ones are ties.
        where: the group's file and line.
    """

    query: str
    document: Document
    rank: int
    where: str


@dataclass(frozen=True, slots=True)
class RankedExample(Example):
    """A passage with its query behind it, whose tokens are learned; `rank` as for the passage."""

    rank: int = 1


RankedExamples = tuple[RankedExample, ...]
"""What a loss is taken over: the passages of one query."""


@dataclass(frozen=True, slots=True)
class LikelihoodLayout:
    """How passages become examples.

    Attributes:
        readout: of the recipe that is trained; it asks for the likelihood.
        template: its prompt.
        encoder: the tokenizer of inference.
        cutoff: the most tokens of an example; the passage is cut to it, the query never.
        least: tokens of a passage that are always kept, before it is dropped.
    """

    readout: QueryLikelihood
    template: Template
    encoder: PromptEncoder
    cutoff: int
    least: int = 16

    def example(self, row: RankedPassage) -> RankedExample | None:
        """The passage's example; None where it does not fit even when it is short."""
        request = self.request(row)
        whole = request.prompt.then(Segment(request.continuation, trusted=False))
        encoded = self.encoder.encode(whole)
        fitted = fitted_passage(encoded, self.cutoff, self.least)
        if fitted is None:
            return None
        # The query stands at the end, and nothing of it is cut.
        return RankedExample(
            tuple(fitted.ids), encoded.last - fitted.cut, fitted.cut, 0, row.where, rank=row.rank
        )

    def request(self, row: RankedPassage) -> Likelihood:
        """What is asked at inference."""
        (request,) = next(self.readout.ask(Query(row.query), [row.document], self.template, Settings()))
        assert isinstance(request, Likelihood)
        return request


def prepare_ranked(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Groups of passages, each group an example; see `training_data.prepare`.

    Raises:
        InputError: as there; or a recipe that reads no likelihood of the query, or groups that teach nothing.
    """
    recipe = load_recipe(plan.recipe)
    template = recipe.load_template()
    if template is None or not isinstance(recipe.readout, QueryLikelihood) or recipe.readout.ends:
        raise InputError(
            f"objective qlm trains recipes that read how likely the query is, such as qlm; "
            f"{plan.recipe!r} does not"
        )
    if tokenizer is None:
        tokenizer = base_tokenizer(plan.base)
    new_tokens = add_tokens(tokenizer, plan.tokens)
    encoder = PromptEncoder(tokenizer)
    layout = LikelihoodLayout(recipe.readout, template, encoder, plan.cutoff, plan.lists.least)
    data = lay_out(plan, rows, _passages(plan, rows), layout, tokenizer, new_tokens)
    examples, dev = of_groups(data.examples), of_groups(data.dev)
    if not examples:
        raise InputError(
            f"{os.fspath(rows)}: objective qlm learns what tells a query's passages apart, but no group has "
            f"a better and a worse one that fit {plan.cutoff} tokens"
        )
    return replace(data, examples=examples, dev=dev)


def _passages(plan: Plan, rows: str | os.PathLike[str]) -> Iterator[RankedPassage]:
    """The passages of the file's groups, at most `plan.lists.size` of each."""
    for group in read_groups(rows):
        shown = replace(group, trace="").limited(plan.lists.size, plan.seed)  # no trace is learned
        query, documents = shown.query_and_documents()
        for document, rank in zip(documents, shown.ranks(), strict=True):
            yield RankedPassage(query.text, document, rank, group.where)


def of_groups(examples: Iterable[RankedExample]) -> list[RankedExamples]:
    """The examples of each group together; a group whose passages are all as good is left out."""
    groups: dict[str, list[RankedExample]] = {}
    for example in examples:
        groups.setdefault(example.where, []).append(example)
    return [tuple(group) for group in groups.values() if len({one.rank for one in group}) > 1]


@dataclass(frozen=True, slots=True)
class LikelihoodCriterion:
    """A ranking loss of a query's passages by their likelihoods, of which each query weighs the same.

    Attributes:
        settings: see there.
        rank_loss: of scores and ranks, both of shape (passages,).
    """

    settings: QlmSettings = field(default_factory=QlmSettings)
    rank_loss: Callable[..., Tensor] = ranknet

    def batch(self, examples: Sequence[RankedExamples], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """As `collate` of all passages, with their ranks, and how many of them belong together."""
        assert not packed
        torch = require("torch", "training", "training")
        passages = [one for together in examples for one in together]
        return collate(passages, pad) | {
            "ranks": torch.tensor([one.rank for one in passages]),
            "sizes": [len(together) for together in examples],
        }

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """The log-probability of each token of the queries, 0 in other places; shape (passages, places)."""
        torch = require("torch", "training", "training")
        wanted = batch["labels"][:, 1:]  # position t predicts token t + 1
        # Only where some query stands is the vocabulary asked about; queries end with their rows, elsewhere.
        kept = (wanted != IGNORED).any(dim=0).nonzero()[:, 0]
        arguments = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
        logits = model(**arguments, use_cache=False, logits_to_keep=kept).logits
        wanted = wanted[:, kept]
        costs = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
        )
        likelihoods: Tensor = -costs.view_as(wanted)
        return likelihoods

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over queries of the ranking loss and the weighted loss of likelihood."""
        learned = (batch["labels"][:, 1:] != IGNORED).sum(dim=1)
        scores = logits.sum(dim=1) / learned
        costs = []
        for own, ranks in zip(
            scores.split(batch["sizes"]), batch["ranks"].split(batch["sizes"]), strict=True
        ):
            best = own[ranks == ranks.min()]
            costs.append(
                self.rank_loss(self.settings.scale * own, ranks) - self.settings.likelihood * best.mean()
            )
        total: Tensor = sum(costs[1:], costs[0])
        return total

    def count(self, batch: dict[str, Any]) -> int:
        """The queries."""
        return len(batch["sizes"])


def train(model: Any, data: TrainingData, plan: Plan, folder: Path, **how: Any) -> sft.TrainingResult:
    """Train on what `prepare_ranked` made; as `sft.train`."""
    assert plan.qlm is not None
    return sft.train(
        model, data, plan, folder, criterion=LikelihoodCriterion(plan.qlm, plan_loss(plan)), **how
    )
