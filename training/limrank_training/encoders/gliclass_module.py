"""GLiClass as a module that is trained, and texts with their labels as its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.backends.gliclass.model import GLiClass
from limrank_plugins.backends.local.encoder_inputs import EncoderInput, as_tensors
from limrank_plugins.backends.local.loading import loading
from limrank_plugins.backends.local.weights import read_config
from limrank_plugins.errors import require


def gliclass_module(base: str, seed: int) -> Any:
    """A GLiClass in float32 that can be trained; its attribute `held` is the `GLiClass`.

    Args:
        base: folder or hub name of one of ours, or of any encoder, which gets a head drawn by the seed.
        seed: see there.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded.
    """
    torch = require("torch", "training", "training")
    with loading(base) as source:
        ours = "gliclass" in read_config(source, None)
    if ours:
        held = GLiClass.load(base, device="cpu", dtype="float32")
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            held = GLiClass.create(base)
    held.module.requires_grad_(True)

    class GLiClassModule(torch.nn.Module):  # type: ignore[misc, name-defined]  # the library is not typed here
        """How well every label fits its text."""

        def __init__(self) -> None:
            super().__init__()
            self.module = held.module
            self.held = held

        def features(self, rows: Sequence[EncoderInput]) -> dict[str, Any]:
            """Tokens side by side, on the CPU."""
            return as_tensors(torch, rows, held.tokenizer, "cpu")

        def forward(self, batch: dict[str, Any]) -> Any:
            """Logits, shape (rows, most labels)."""
            return held.logits(batch)[0]

        def write(self, place: Path) -> None:
            """Write what `GLiClass.load` reads."""
            held.save_pretrained(place)

    return GLiClassModule().eval()


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
    width = max(len(example.fits) for example in examples)

    def filled(values: Sequence[bool]) -> list[bool]:
        return [*values, *[False] * (width - len(values))]

    features: dict[str, Any] = model.features([example.row for example in examples])
    return features | {
        "labels": torch.tensor([filled(example.fits) for example in examples]),
        "real": torch.tensor([filled([True] * len(example.fits)) for example in examples]),
        "numbers": [example.number for example in examples],
        "rows": [example.where for example in examples],
    }
