"""Qwen3-Reranker (arXiv 2506.05176): yes or no about each passage, by a task that can be said."""

from __future__ import annotations

from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

RECIPE = Recipe(
    name="qwen3-reranker",
    summary="says yes or no about each passage, by the task that instruction= names; P(yes) is the score",
    oracle="score",
    template="qwen3-reranker",
    chat_template="qwen3-reranker-chat",
    readout=YesNo(frame=("Instruct", "Query", "Document")),
    schedule=Chunks(1),
    score_kind="probability",
    backend="transformers",
    model="Qwen/Qwen3-Reranker-0.6B",
    calls="N",
    tokens="Q + N·D, none written",
    paper="arXiv:2506.05176",
    licence="Apache-2.0",
    checkpoints=("Qwen/Qwen3-Reranker-4B", "Qwen/Qwen3-Reranker-8B"),
)
