"""MM-Embed's second stage (arXiv 2411.02571): whether a candidate matches the query, true or false.

Queries and candidates may be text, images or both. The paper's first stage, the multimodal
bi-encoder, is `DenseRetriever` with a `MultimodalEncoderBackend`.
"""

from __future__ import annotations

from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks

RECIPE = Recipe(
    name="mm-embed",
    summary="P(True) of 'does this candidate match?' for queries and candidates of text, images or both",
    oracle="score",
    template="mm-embed",
    readout=YesNo(),
    schedule=Chunks(1),
    score_kind="probability",
    backend="vision",
    model="Qwen/Qwen2.5-VL-7B-Instruct",
    for_images=True,
    calls="N",
    tokens="N·(Q + D), an image counted as the tokens it becomes",
    paper="arXiv:2411.02571",
    licence="Apache-2.0",
    checkpoints=("llava-hf/llava-v1.6-34b-hf",),
)
