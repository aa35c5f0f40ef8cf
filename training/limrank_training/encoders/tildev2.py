"""Training TILDEv2 (arXiv 2108.08513): the index's score, against hard negatives and the batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.local.encoder_inputs import as_tensors
from limrank_plugins.backends.tildev2.expansion import MAX_TOKENS, Expansion
from limrank_plugins.backends.tildev2.model import TILDEv2
from limrank_plugins.backends.tildev2.terms import Terms
from limrank_plugins.errors import InputError, require
from limrank_training.data.negatives import NegativeSampler
from limrank_training.data.query_passages import QueryPassages, read_query_passages
from limrank_training.encoders.encoder_data import encoder_data, split_report
from limrank_training.encoders.tildev2_module import cartesian, tildev2_module
from limrank_training.losses import plan_loss
from limrank_training.losses.contrastive import info_nce
from limrank_training.plans import ContrastSettings, Plan
from limrank_training.sft import TrainingResult, fine_tune
from limrank_training.training_data import TrainingData, base_tokenizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ContrastGroup:
    """A query and its group of passages, the positive first.

    Attributes:
        query: its tokens that count, repeated ones repeatedly.
        passages: the tokens of each.
        texts: the passages themselves, which tell them from those of other queries.
        known: every text that answers the query.
        where: file and line.
    """

    query: tuple[int, ...]
    passages: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    known: frozenset[str]
    where: str


def prepare(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Each positive of a query with negatives; see `training_data.prepare` and `read_query_passages`.

    Raises:
        InputError: a row that is not as it should be, a query that says nothing, or too few passages.
    """
    contrast = plan.contrast
    assert contrast is not None
    tokenizer = base_tokenizer(plan.base) if tokenizer is None else tokenizer
    terms = Terms(tokenizer)

    def examples_of(queries: list[QueryPassages]) -> tuple[list[ContrastGroup], dict[str, int]]:
        sampler = NegativeSampler(queries, plan.seed)
        groups, cut = [], 0
        for query in queries:
            tokens = terms.tokens(query.query)
            cut += len(tokens) > contrast.query - 2
            counted = tuple(terms.counted(tokens[: contrast.query - 2]))
            if not counted:
                raise InputError(f"{query.where}: no token of the query counts, so nothing can match it")
            groups += _groups(query, counted, terms, sampler, contrast)
        lengths = [
            sum(min(len(passage) + 2, contrast.passage) for passage in group.passages) for group in groups
        ]
        return groups, split_report(len(queries), lengths, cut_queries=cut)

    queries = read_query_passages(rows)
    return encoder_data(plan, rows, queries, examples_of, tokenizer, _TermView(tokenizer))


def _groups(
    query: QueryPassages,
    counted: tuple[int, ...],
    terms: Terms,
    sampler: NegativeSampler,
    contrast: ContrastSettings,
) -> list[ContrastGroup]:
    groups = []
    for positive in query.positives:
        negatives = sampler.negatives(query, positive, contrast.group - 1)
        if len(negatives) < contrast.group - 1:
            raise InputError(
                f"{query.where}: contrast.group={contrast.group} needs {contrast.group - 1} passages that "
                f"answer others, but its split has {len(negatives)}: lower contrast.group"
            )
        texts = (positive, *negatives)
        passages = tuple(tuple(terms.tokens(text)) for text in texts)
        groups.append(ContrastGroup(counted, passages, texts, frozenset(query.positives), query.where))
    return groups


@dataclass(frozen=True, slots=True)
class _TermView:
    tokenizer: Any

    def shown(self, example: ContrastGroup) -> tuple[str, str]:
        """The counted tokens of the query, and the passages."""
        names = self.tokenizer.convert_ids_to_tokens(list(example.query))
        return "\n".join([" ".join(names), *example.texts]), "the first passage is learned to score highest"


@dataclass(frozen=True, slots=True)
class TermCriterion:
    """InfoNCE over the index's scores, of which each query of a step weighs the same.

    Other queries' passages count as negatives within a part, `optimiser.part` queries in each process.

    Attributes:
        model: whose layout is used.
        group: passages of each query, its positive first.
        expansions: tokens to put behind a passage, by its text.
        loss: of scores, with `group`; a mean over queries.
    """

    model: TILDEv2
    group: int
    expansions: dict[str, list[int]]
    loss: Callable[..., Tensor] = info_nce

    def batch(self, examples: Sequence[ContrastGroup], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """Rows of tokens, queries filled up with -1, and which passages answer which queries."""
        torch = require("torch", "training", "training")
        rows = [
            # As in an index: of a passage that is expanded, its first 128 tokens are read.
            self.model.layout(
                tokens[: self.model.limit],
                self.expansions.get(text, ()),
                longest_passage=MAX_TOKENS if self.expansions else None,
            )
            for group in examples
            for tokens, text in zip(group.passages, group.texts, strict=True)
        ]
        texts = [text for group in examples for text in group.texts]
        longest = max(len(group.query) for group in examples)
        return as_tensors(torch, rows, self.model.tokenizer, "cpu") | {
            "queries": torch.tensor(
                [[*group.query, *[-1] * (longest - len(group.query))] for group in examples]
            ),
            "known": torch.tensor([[text in group.known for text in texts] for group in examples]),
            "labels": torch.arange(len(examples)) * self.group,
            "rows": [group.where for group in examples],
        }

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """Every query's score of every passage, in double precision."""
        names = ("input_ids", "attention_mask", "token_type_ids")
        weights = model({name: batch[name] for name in names if name in batch})
        return cartesian(weights, batch["input_ids"], batch["queries"])

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over queries; what also answers a query is no negative of it."""
        torch = require("torch", "training", "training")
        own = torch.zeros_like(batch["known"])
        own[torch.arange(len(own), device=own.device), batch["labels"]] = True
        left = logits.masked_fill(batch["known"] & ~own, float("-inf"))
        return self.loss(left, group=self.group) * len(left)

    def count(self, batch: dict[str, Any]) -> int:
        """The queries."""
        return len(batch["queries"])


def load(plan: Plan, tokenizer: Any) -> Any:
    """The plan's base to be trained: a TILDEv2 that is gone on with, or a BERT with a new head.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded, or is no BERT.
    """
    return tildev2_module(plan.base, plan.seed)


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made; as `sft.train`."""
    assert plan.contrast is not None
    held: TILDEv2 = model.held
    held.limit = min(held.limit, plan.contrast.passage)
    expansions: dict[str, list[int]] = {}
    if plan.contrast.expansion is not None:
        texts = {text: tokens for group in (*data.examples, *data.dev)
                 for text, tokens in zip(group.texts, group.passages, strict=True)}  # fmt: skip
        adding = Expansion.load(plan.contrast.expansion, top=plan.contrast.top)
        expansions = dict(zip(texts, adding.expand(list(texts.values()), held), strict=True))
    criterion = TermCriterion(held, plan.contrast.group, expansions, plan_loss(plan))
    return fine_tune(model, 0, data.examples, plan, folder, dev=data.dev, criterion=criterion, **how)
