"""The embedded default: a small sentence encoder beside the first stage's score. No trained parameters."""

from __future__ import annotations

from limrank_plugins.readouts.similarity import Similarity
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Once

RECIPE = Recipe(
    name="mini",
    summary="cosine of a 22M-parameter sentence encoder + .35 · first-stage score; runs on any laptop",
    oracle="score",
    readout=Similarity(),
    schedule=Once(),
    score_kind="similarity",
    backend="encoder",
    model="mini",
    calls="N + 1 (none for passages whose vector is in the store)",
    tokens="Q + N·D",
    paper="sentence-transformers/all-MiniLM-L6-v2; arXiv:2002.10957",
    licence="Apache-2.0",
)
