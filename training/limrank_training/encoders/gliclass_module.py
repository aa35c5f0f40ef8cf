"""GLiClass as a module that is trained."""

from __future__ import annotations

from collections.abc import Sequence
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
