"""mxbai-rerank v2 (Mixedbread, 2025): 1 or 0 about each passage, by an instruction that can be said."""

from __future__ import annotations

from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

RECIPE = Recipe(
    name="mxbai-rerank",
    summary="says 1 or 0 about each passage, by the task that instruction= names; P(1) is the score",
    oracle="score",
    template="mxbai-rerank",
    chat_template="mxbai-rerank-chat",
    readout=YesNo(),
    schedule=Chunks(1),
    score_kind="probability",
    backend="transformers",
    model="mixedbread-ai/mxbai-rerank-base-v2",
    calls="N",
    tokens="Q + N·D, none written",
    paper="https://www.mixedbread.com/blog/mxbai-rerank-v2",
    licence="Apache-2.0",
    checkpoints=("mixedbread-ai/mxbai-rerank-large-v2",),
)
