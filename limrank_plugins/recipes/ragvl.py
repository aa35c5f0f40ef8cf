"""RagVL (arXiv 2407.21439): whether an image, with its caption, is relevant to the question, yes or no."""

from __future__ import annotations

from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

RECIPE = Recipe(
    name="ragvl",
    summary="P(Yes) of 'is the image, with its caption, relevant?'; a threshold is fitted with fit_threshold",
    oracle="score",
    template="ragvl",
    readout=YesNo(),
    schedule=Chunks(1),
    score_kind="probability",
    backend="vision",
    # The authors' tuned weights are not on the hub.
    model="Qwen/Qwen2.5-VL-7B-Instruct",
    for_images=True,
    calls="N",
    tokens="N·(Q + D), an image counted as the tokens it becomes",
    paper="arXiv:2407.21439",
    licence="Apache-2.0",
    checkpoints=("llava-hf/llava-1.5-7b-hf", "OpenGVLab/InternVL3-2B-hf"),
)
