"""A toy world for encoders: queries, passages that answer them, and rows of files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from limrank_training.plans import OptimiserSettings

GOOD = {
    "why does milk curdle": "acid curdles milk because proteins clump together",
    "why does bread rise": "bread rises when yeast makes gas",
    "how do rivers carve": "rivers carve valleys",
    "why does light bend": "light bends in water",
}
BAD = ["iron rusts in moist air", "cheese and tea", "cat dog label", "yeast gas bends iron"]
STEP = OptimiserSettings(rate=1e-2, schedule="constant", warmup=0.0, steps=1, batch=4, part=4, clip=0.0)


def pairs() -> list[dict[str, Any]]:
    made = []
    for query, passage in GOOD.items():
        made.append({"query": query, "passage": passage, "label": 1.0})
        made += [{"query": query, "passage": other, "label": 0.0} for other in BAD]
    return made


def written(file: Path, rows: Iterable[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def same_step(trained: torch.nn.Module, by_hand: torch.nn.Module) -> int:
    """Compare where there is a gradient; Adam makes a whole step of rounding errors (a key's bias)."""
    others = dict(trained.named_parameters())
    compared = 0
    for name, weight in by_hand.named_parameters():
        real = weight.grad is not None and weight.grad.abs() > 1e-5
        if real is not False:
            assert torch.allclose(weight[real], others[name][real], atol=1e-5), name
            compared += int(real.sum())
    return compared
