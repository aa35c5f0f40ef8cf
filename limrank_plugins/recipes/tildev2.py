"""TILDEv2 (arXiv 2108.08513): what a passage's tokens weigh is computed offline, a query adds it up."""

from __future__ import annotations

from limrank_plugins.readouts.pairs import PairScore
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

RECIPE = Recipe(
    name="tildev2",
    summary="adds up what the query's tokens weigh in each passage, from an index made by `limrank expand`",
    oracle="score",
    # A sum over the query's tokens: a longer query has larger scores.
    readout=PairScore(comparable=False),
    schedule=Chunks(1),
    score_kind="similarity",
    backend="tildev2",
    model="ielab/TILDEv2-TILDE200-exp",
    calls="none for passages in the index (N otherwise)",
    tokens="Q (+ N·D for passages that are not in the index)",
    paper="arXiv:2108.08513",
    licence="not stated (code: MIT)",
)
