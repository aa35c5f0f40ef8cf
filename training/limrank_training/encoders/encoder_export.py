"""Write a trained encoder as its own backend reads it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from limrank_plugins.card import CARD
from limrank_plugins.folders import whole_folder
from limrank_training.model_export import model_card
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
    target = Path(folder)
    held = os.listdir(target) if (target / CARD).is_file() else []
    card = {"recipe": plan.recipe, "plan": plan.name, "base": plan.base}
    if plan.objective == "mm-embed":  # a first stage, which no recipe asks
        card = {"encoder": "multimodal-encoder", "plan": plan.name, "base": plan.base}
    with whole_folder(target, held) as place:
        model.write(Path(place))
        (Path(place) / CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        (Path(place) / "README.md").write_text(model_card(plan, facts or {}, True), "utf-8")
    return target
