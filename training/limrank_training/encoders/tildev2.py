"""Training TILDEv2 (arXiv 2108.08513): the index's score, against hard negatives and the batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.local.encoder_inputs import as_tensors
from limrank_plugins.backends.tildev2.expansion import Expansion
from limrank_plugins.backends.tildev2.model import TILDEv2
from limrank_plugins.backends.tildev2.terms import Terms
from limrank_plugins.errors import InputError, require
from limrank_training.data.negatives import NegativeSampler
from limrank_training.data.query_passages import QueryPassages, read_query_passages
from limrank_training.encoders.encoder_export import OnProgress, TrainingData, by_split, lengths_report, whole
from limrank_training.encoders.tildev2_module import cartesian, tildev2_module
from limrank_training.losses.contrastive import info_nce
from limrank_training.plans import ContrastSettings, Plan
from limrank_training.sft import TrainingResult, fine_tune
from limrank_training.training_data import base_tokenizer

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


def prepare(
    plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None, on_progress: OnProgress = None
) -> TrainingData:
    """Each positive of a query with negatives; see `training_data.prepare` and `read_query_passages`.

    Raises:
        InputError: a row that is not as it should be, a query that says nothing, or too few passages.
    """
    contrast = plan.contrast
    assert contrast is not None
    tokenizer = base_tokenizer(plan.base) if tokenizer is None else tokenizer
    terms = Terms(tokenizer)
    made: dict[bool, list[Any]] = {False: [], True: []}
    report = {}
    done = 0
    for dev, queries in by_split(read_query_passages(rows), plan).items():
        drawing = NegativeSampler(queries, plan.seed)
        cut = 0
        for judged in queries:
            tokens = terms.tokens(judged.query)
            cut += len(tokens) > contrast.query - 2
            counted = tuple(terms.counted(tokens[: contrast.query - 2]))
            if not counted:
                raise InputError(f"{judged.where}: no token of the query counts, so nothing can match it")
            made[dev] += _ranked(judged, counted, terms, drawing, contrast)
            done += 1
            if on_progress is not None and done % 1000 == 0:
                on_progress(done)
        lengths = [
            sum(min(len(passage) + 2, contrast.passage) for passage in one.passages) for one in made[dev]
        ]
        report["dev" if dev else "train"] = lengths_report(len(queries), lengths, cut_queries=cut)
    return whole(made, tokenizer, _Layout(tokenizer), report, rows)


def _ranked(
    judged: QueryPassages,
    counted: tuple[int, ...],
    terms: Terms,
    drawing: NegativeSampler,
    contrast: ContrastSettings,
) -> list[ContrastGroup]:
    found = []
    for positive in judged.positives:
        others = drawing.negatives(judged, positive, contrast.group - 1)
        if len(others) < contrast.group - 1:
            raise InputError(
                f"{judged.where}: contrast.group={contrast.group} needs {contrast.group - 1} passages that "
                f"answer others, but its split has {len(others)}: lower contrast.group"
            )
        texts = (positive, *others)
        passages = tuple(tuple(terms.tokens(text)) for text in texts)
        found.append(ContrastGroup(counted, passages, texts, frozenset(judged.positives), judged.where))
    return found


@dataclass(frozen=True, slots=True)
class _Layout:
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
        contrast: see there.
        expansions: tokens to put behind a passage, by its text.
    """

    model: TILDEv2
    contrast: ContrastSettings
    expansions: dict[str, list[int]]

    def batch(self, examples: Sequence[ContrastGroup], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """Rows of tokens, queries filled up with -1, and which passages answer which queries."""
        torch = require("torch", "training", "training")
        rows = [
            self.model.layout(tokens[: self.model.limit], self.expansions.get(text, ()))
            for one in examples
            for tokens, text in zip(one.passages, one.texts, strict=True)
        ]
        texts = [text for one in examples for text in one.texts]
        longest = max(len(one.query) for one in examples)
        group = self.contrast.group
        return as_tensors(torch, rows, self.model.tokenizer, "cpu") | {
            "queries": torch.tensor([[*one.query, *[-1] * (longest - len(one.query))] for one in examples]),
            "known": torch.tensor([[text in one.known for text in texts] for one in examples]),
            "labels": torch.arange(len(examples)) * group,
            "rows": [one.where for one in examples],
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
        return info_nce(left, group=self.contrast.group, temperature=self.contrast.temperature) * len(left)

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
        texts = {text: tokens for one in (*data.examples, *data.dev)
                 for text, tokens in zip(one.texts, one.passages, strict=True)}  # fmt: skip
        adding = Expansion.load(plan.contrast.expansion, top=plan.contrast.top)
        found = adding.expand(list(texts.values()), held)
        expansions = dict(zip(texts, found, strict=True))
    learning = TermCriterion(held, plan.contrast, expansions)
    return fine_tune(model, 0, data.examples, plan, folder, dev=data.dev, learning=learning, **how)
