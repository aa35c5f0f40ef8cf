"""Training vectors of texts and pictures (MM-Embed, arXiv 2411.02571) with modality-aware hard negatives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.errors import InputError, require
from limrank_training.data.hard_negatives import draw, mine
from limrank_training.data.multimodal_rows import Content, MultimodalRow, read_multimodal_rows
from limrank_training.encoders.encoder_export import OnProgress, TrainingData, by_split, lengths_report, whole
from limrank_training.encoders.vector_module import vector_module
from limrank_training.losses.contrastive import info_nce
from limrank_training.plans import ContrastSettings, Plan
from limrank_training.sft import TrainingResult, fine_tune

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

    asked: Content
    documents: tuple[Content, ...]
    known: frozenset[Content]
    where: str


def prepare(
    plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None, on_progress: OnProgress = None
) -> TrainingData:
    """Each positive with a candidate of the wrong kind above it and one of the right kind far below.

    A query for which a sort has no candidate goes without; other queries' documents are negatives, too.

    Raises:
        InputError: a row that is not as it should be, or a group that is not 3.
    """
    contrast = plan.contrast
    assert contrast is not None
    if contrast.group != _GROUP:
        raise InputError(f"objective mm-embed has one negative of each sort: contrast.group is {_GROUP}")
    made: dict[bool, list[Any]] = {False: [], True: []}
    report = {}
    done = 0
    for dev, queries in by_split(list(read_multimodal_rows(rows)), plan).items():
        mined = [0, 0]
        for row in queries:
            for example, found in _examples(row, contrast, plan.seed):
                made[dev].append(example)
                mined = [total + one for total, one in zip(mined, found, strict=True)]
            done += 1
            if on_progress is not None and done % 1000 == 0:
                on_progress(done)
        # Tokens are the processor's matter, which is not asked before training.
        lengths = [0] * len(made[dev])
        report["dev" if dev else "train"] = lengths_report(
            len(queries), lengths, wrong_kind=mined[0], far=mined[1]
        )
    return whole(made, tokenizer, _Shown(), report, rows)


def _examples(
    row: MultimodalRow, contrast: ContrastSettings, seed: int
) -> list[tuple[MultimodalGroup, tuple[int, int]]]:
    known = frozenset(row.candidates[place] for place in row.positives)
    kinds = [one.kind for one in row.candidates]
    made = []
    for place in row.positives:
        # Mined for this positive: what stands above another one need not stand above it.
        found = mine(kinds, row.wants, [place], near=contrast.near)
        far = tuple(i for i in found.far if i not in row.positives)
        wrong, below = draw(type(found)(found.wrong_kind, far), seed, f"{row.query}\n{place}")
        chosen = [row.candidates[i] for i in (place, wrong, below) if i is not None]
        counts = (int(wrong is not None), int(below is not None))
        made.append((MultimodalGroup(row.asked, tuple(chosen), known, row.where), counts))
    return made


class _Shown:
    def shown(self, example: MultimodalGroup) -> tuple[str, str]:
        """The query and its documents, one a line."""
        lines = [_line(one) for one in (example.asked, *example.documents)]
        return "\n".join(lines), "the first document is learned to be nearest to the query"


def _line(item: Content) -> str:
    return " ".join([*(f"[{file.name}]" for file in item.files), item.text]).strip()


@dataclass(frozen=True, slots=True)
class VectorCriterion:
    """InfoNCE over cosines, of which each query of a step weighs the same.

    Attributes:
        model: the module that is trained, for its input.
        contrast: see there.
    """

    model: Any
    contrast: ContrastSettings

    def batch(self, examples: Sequence[MultimodalGroup], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """What the model reads of all items, and where each document stands among all columns.

        Raises:
            InputError: a picture cannot be read, or the model does not take such an item.
        """
        torch = require("torch", "training", "training")
        columns = [_GROUP * i + j for i, one in enumerate(examples) for j in range(len(one.documents))]
        documents = [item for one in examples for item in one.documents]
        features, owners = self.model.features([*(one.asked for one in examples), *documents])
        known = torch.zeros((len(examples), _GROUP * len(examples)), dtype=torch.bool)
        for i, one in enumerate(examples):
            for column, item in zip(columns, documents, strict=True):
                known[i, column] = item in one.known and column != _GROUP * i
        return {
            "features": features,
            "owners": owners,
            "columns": torch.tensor(columns),
            "known": known,
            "labels": torch.arange(len(examples)) * _GROUP,
            "rows": [one.where for one in examples],
        }

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """Cosines, shape (queries, 3 · queries); -inf where a query has no such negative."""
        count = len(batch["labels"])
        found = model(batch["features"], batch["owners"])
        cosines = found[:count] @ found[count:].T
        spread = cosines.new_full((count, _GROUP * count), float("-inf"))
        return spread.index_copy(1, batch["columns"], cosines)

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The sum over queries; what also answers a query is no negative of it."""
        left = logits.float().masked_fill(batch["known"], float("-inf"))
        return info_nce(left, group=_GROUP, temperature=self.contrast.temperature) * len(left)

    def count(self, batch: dict[str, Any]) -> int:
        """The queries."""
        return len(batch["labels"])


def load(plan: Plan, tokenizer: Any) -> Any:
    """The plan's base, a sentence-transformers model that takes pictures, in float32; see `vector_module`."""
    return vector_module(plan.base)


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made; as `sft.train`."""
    assert plan.contrast is not None
    learning = VectorCriterion(model, plan.contrast)
    return fine_tune(model, 0, data.examples, plan, folder, dev=data.dev, learning=learning, **how)
