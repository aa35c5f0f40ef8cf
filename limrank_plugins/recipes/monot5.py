"""monoT5 (arXiv 2003.06713): a T5 that answers true or false about each passage in one step."""

from __future__ import annotations

from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

RECIPE = Recipe(
    name="monot5",
    summary="a T5 trained on MS MARCO says true or false about each passage; P(true) is the score",
    oracle="score",
    template="monot5",
    chat_template="limrank-chat",
    readout=YesNo(),
    schedule=Chunks(1),
    score_kind="probability",
    backend="seq2seq",
    model="castorini/monot5-base-msmarco-10k",
    calls="N",
    tokens="N·(Q + D)",
    paper="arXiv:2003.06713",
    licence="none on the model card; code and base model (T5): Apache-2.0",
    checkpoints=("castorini/monot5-3b-msmarco", "castorini/monot5-3b-msmarco-10k"),
)
