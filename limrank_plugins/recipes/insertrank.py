"""InsertRank (arXiv 2506.14086): RankGPT's prompt with each passage's first-stage score beside it."""

from __future__ import annotations

from dataclasses import replace

from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.readouts.priors import PriorLines, Scale, ScaledPriors
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes.rankgpt import Wording, template_of
from limrank_plugins.recipes.rankgpt import recipe as rankgpt


def recipe(
    scale: Scale = "raw",
    decimals: int | None = None,
    window: int = 20,
    stride: int = 10,
    passes: int = 1,
    wording: Wording = "trained",
    passage_limit: str | None = None,
) -> Recipe:
    """The recipe for another scale of the scores (see `ScaledPriors`), other decimals, windows or prompt.

    `wording="trained"` is RankGPT's prompt with lines about scores, `"rankllm"` RankLLM's own for InsertRank.
    """
    return replace(
        rankgpt(window, stride, passes, passage_limit=passage_limit),
        name="insertrank",
        summary="as rankgpt, but the model also reads each passage's first-stage score (Document.prior)",
        template=template_of("insertrank", wording),
        readout=GenerateOrder(priors=PriorLines(scale, decimals)),
        prepare=ScaledPriors(scale),
        # Zero-shot: the paper asks general models, and RankZephyr has never seen a score.
        model="Qwen/Qwen2.5-7B-Instruct",
        tokens="calls · (2·Q + 20·D + 400, with reasoning + T)",
        paper="arXiv:2506.14086",
        licence="Apache-2.0",
    )


RECIPE = recipe()
