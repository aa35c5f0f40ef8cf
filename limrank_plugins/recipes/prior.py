"""The first stage as it is."""

from __future__ import annotations

from limrank_plugins.readouts.prior import Prior
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Once

RECIPE = Recipe(
    name="prior",
    summary="the first stage's own scores, unchanged: a baseline, and a part of fuse",
    oracle="score",
    readout=Prior(),
    schedule=Once(),
    score_kind="prior",
    backend="none",
    model="",
    calls="none",
    tokens="none",
    paper="none: it is whatever the first stage is",
    licence="none",
)
