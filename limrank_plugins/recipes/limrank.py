"""LimRank (arXiv 2510.23544): think about each passage, answer true or false."""

from __future__ import annotations

from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

RECIPE = Recipe(
    name="limrank",
    summary="thinks about each passage, answers true or false, ranks by the probability of true",
    oracle="score",
    template="limrank",
    readout=YesNo(),
    schedule=Chunks(1),
    score_kind="probability",
    backend="transformers",
    model="songtingyu/limrank",
    reasoning="full",
    calls="N (2·N at most: a thought over budget is closed by a second one)",
    tokens="Q + N·(D + T) with reasoning, Q + N·D without",
    paper="arXiv:2510.23544",
    licence="MIT as claimed by its authors (no licence file); base Qwen2.5-7B: Apache-2.0",
)
