"""Write a trained encoder as its own backend reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from limrank_training.model_export import model_card, write_export
from limrank_training.plans import Plan


class WritableModel(Protocol):
    """A model that writes itself as its own backend reads it."""

    def write(self, place: Path) -> None:
        """Config, weights and tokenizer."""


def export(
    model: WritableModel,
    tokenizer: Any,
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    merge: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder that `Reranker.from_pretrained` reads, whole or not at all; as `model_export.export`.

    Raises:
        InputError: the folder holds something that is no export.
    """
    card = {"recipe": plan.recipe, "plan": plan.name, "base": plan.base}
    if plan.objective == "mm-embed":  # a first stage, which no recipe asks
        card = {"encoder": "multimodal-encoder", "plan": plan.name, "base": plan.base}
    return write_export(folder, card, model_card(plan, facts or {}, True), model.write)
