"""Texts with their labels, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.local.encoder_inputs import EncoderInput
from limrank_plugins.errors import require


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with its labels as the model reads them.

    Attributes:
        row: the input's tokens.
        fits: for each label, whether it fits.
        text, labels: what was written into the input.
        number: tells examples apart.
        where: file and line.
    """

    row: EncoderInput
    fits: tuple[bool, ...]
    text: str
    labels: tuple[str, ...]
    number: int
    where: str


def labelled_batch(model: Any, examples: Sequence[LabelledText]) -> dict[str, Any]:
    """What `LabelCriterion` and `PolicyCriterion` are computed from.

    Returns:
        Token tensors, `labels` and `real`, shape (rows, most labels), `numbers` and `rows`.
    """
    torch = require("torch", "training", "training")
    width = max(len(one.fits) for one in examples)

    def filled(values: Sequence[bool]) -> list[bool]:
        return [*values, *[False] * (width - len(values))]

    features: dict[str, Any] = model.features([one.row for one in examples])
    return features | {
        "labels": torch.tensor([filled(one.fits) for one in examples]),
        "real": torch.tensor([filled([True] * len(one.fits)) for one in examples]),
        "numbers": [one.number for one in examples],
        "rows": [one.where for one in examples],
    }
