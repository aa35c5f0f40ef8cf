"""Training vectors of texts and images (MM-Embed, arXiv 2411.02571) with modality-aware hard negatives."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.errors import InputError, require
from limrank_training.data.hard_negatives import HardNegatives, draw, mine
from limrank_training.data.multimodal_rows import Content, MultimodalRow, read_multimodal_rows
from limrank_training.encoders.encoder_data import encoder_data, split_report
from limrank_training.encoders.vector_module import vector_module
from limrank_training.losses import plan_loss
from limrank_training.losses.contrastive import info_nce
from limrank_training.plans import ContrastSettings, Plan
from limrank_training.sft import TrainingResult, fine_tune
from limrank_training.training_data import TrainingData

if TYPE_CHECKING:
    from torch import Tensor

_GROUP = 3
"""The positive and one hard negative of each sort."""


@dataclass(frozen=True, slots=True)
class MultimodalGroup:
    """A query with its positive and its hard negatives, two at most.

    Attributes:
        asked: the query.
        documents: the positive first.
        known: everything that answers the query.
        where: file and line.
    """

    content: Content
    documents: tuple[Content, ...]
    known: frozenset[Content]
    where: str


def prepare(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Each positive with a candidate of the wrong kind above it and one of the right kind far below.

    A query for which a sort has no candidate goes without; other queries' documents are negatives, too.

    Raises:
        InputError: a row that is not as it should be, or a group that is not 3.
    """
    contrast = plan.contrast
    assert contrast is not None
    if contrast.group != _GROUP:
        raise InputError(f"objective mm-embed has one negative of each sort: contrast.group is {_GROUP}")

    def examples_of(queries: list[MultimodalRow]) -> tuple[list[MultimodalGroup], dict[str, int]]:
        groups, wrong_kind, far = [], 0, 0
        for row in queries:
            for group, has_wrong_kind, has_far in _groups(row, contrast, plan.seed):
                groups.append(group)
                wrong_kind += has_wrong_kind
                far += has_far
        # Tokens are the processor's matter, which is not asked before training.
        return groups, split_report(len(queries), [0] * len(groups), wrong_kind=wrong_kind, far=far)

    return encoder_data(plan, rows, read_multimodal_rows(rows), examples_of, tokenizer, _ContentView())


def _groups(
    row: MultimodalRow, contrast: ContrastSettings, seed: int
) -> list[tuple[MultimodalGroup, bool, bool]]:
    """Each positive's group, and whether it has a negative of the wrong kind and one far below."""
    known = frozenset(row.candidates[place] for place in row.positives)
    kinds = [candidate.kind for candidate in row.candidates]
    groups = []
    for place in row.positives:
        # Mined for this positive: what stands above another one need not stand above it.
        mined = mine(kinds, row.wants, [place], near=contrast.near)
        far = tuple(i for i in mined.far if i not in row.positives)
        wrong, below = draw(HardNegatives(mined.wrong_kind, far), seed, f"{row.query}\n{place}")
        documents = tuple(row.candidates[i] for i in (place, wrong, below) if i is not None)
        group = MultimodalGroup(row.content, documents, known, row.where)
        groups.append((group, wrong is not None, below is not None))
    return groups


class _ContentView:
    def shown(self, example: MultimodalGroup) -> tuple[str, str]:
        """The query and its documents, one a line."""
        lines = [_line(content) for content in (example.content, *example.documents)]
        return "\n".join(lines), "the first document is learned to be nearest to the query"


def _line(item: Content) -> str:
    return " ".join([*(f"[{file.name}]" for file in item.files), item.text]).strip()


@dataclass(frozen=True, slots=True)
class VectorCriterion:
    """InfoNCE over cosines, of which each query of a step weighs the same.

    Attributes:
        model: the module that is trained, for its input.
        loss: of cosines, with `group`; a mean over queries.
    """

    model: Any
    loss: Callable[..., Tensor] = info_nce

    def batch(self, examples: Sequence[MultimodalGroup], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """What the model reads of all items, and where each document stands among all columns.

        Raises:
            InputError: an image cannot be read, or the model does not take such an item.
        """
        torch = require("torch", "training", "training")
        columns = [
            _GROUP * i + j for i, example in enumerate(examples) for j in range(len(example.documents))
        ]
        documents = [item for example in examples for item in example.documents]
        features, owners = self.model.features([*(example.content for example in examples), *documents])
        known = torch.zeros((len(examples), _GROUP * len(examples)), dtype=torch.bool)
        for i, example in enumerate(examples):
            for column, item in zip(columns, documents, strict=True):
                known[i, column] = item in example.known and column != _GROUP * i
        return {
            "features": features,
            "owners": owners,
            "columns": torch.tensor(columns),
            "known": known,
            "labels": torch.arange(len(examples)) * _GROUP,
            "rows": [example.where for example in examples],
        }

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """Cosines, shape (queries, 3 · queries); -inf where a query has no such negative."""
        count = len(batch["labels"])
        vectors = model(batch["features"], batch["owners"])
        cosines = vectors[:count] @ vectors[count:].T
        spread = cosines.new_full((count, _GROUP * count), float("-inf"))
        return spread.index_copy(1, batch["columns"], cosines)

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over queries; what also answers a query is no negative of it."""
        left = logits.float().masked_fill(batch["known"], float("-inf"))
        return self.loss(left, group=_GROUP) * len(left)

    def count(self, batch: dict[str, Any]) -> int:
        """The queries."""
        return len(batch["labels"])


def load(plan: Plan, tokenizer: Any) -> Any:
    """The plan's base, a sentence-transformers model that takes images, in float32; see `vector_module`."""
    return vector_module(plan.base)


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made; as `sft.train`."""
    criterion = VectorCriterion(model, plan_loss(plan))
    return fine_tune(model, 0, data.examples, plan, folder, dev=data.dev, criterion=criterion, **how)
