"""What a run will need, from the model's shape alone: parameters, memory, time. No weights are loaded."""

from __future__ import annotations

import re
from typing import Any

from limrank_plugins.backends.local.loading import checked_source
from limrank_plugins.errors import LimRankError, require
from limrank_plugins.recipes import load_recipe
from limrank_training.plans import ENCODERS, Plan

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def estimate(plan: Plan, tokens: int, longest: int, *, teraflops: float = 300.0) -> dict[str, Any] | None:
    """Parameters, memory and hours of a run; None where the model's shape is not at hand.

    Memory is that of weights, gradients and AdamW's two moments (in the precision of the weights for
    what is trained), and of activations with every layer's input kept: a lower bound. Time is
    6 FLOPs for a parameter and token (4 where only adapters are trained: the base's own gradients are
    not needed) over all epochs, at `teraflops` reached by one GPU.

    Args:
        plan: see there.
        tokens: of all examples.
        longest: of one example.
        teraflops: what one GPU reaches, in 10^12 a second; 300 is about 30 % of an H100's peak.
    """
    torch = require("torch", "training", "an estimate")
    transformers = require("transformers", "training", "an estimate")
    try:
        config = transformers.AutoConfig.from_pretrained(checked_source(plan.base))
    except (OSError, ValueError, LimRankError):
        return None
    with torch.device("meta"):
        model = model_class(plan).from_config(config)
    total = sum(parameter.numel() for parameter in model.parameters())
    text = config.get_text_config()
    trained = total if plan.lora is None else _adapter_size(model, plan)
    width = _BYTES[plan.precision]
    held = 0.5 if plan.lora is not None and plan.lora.four_bit else width
    activations = plan.optimiser.part * longest * text.hidden_size * text.num_hidden_layers * width * 16
    answers = 0 if plan.objective in ENCODERS else plan.optimiser.part
    logits = answers * longest * text.vocab_size * (width + 8)
    passes = 4 if plan.lora is not None else 6
    epochs = plan.optimiser.epochs
    return {
        "parameters": total,
        "trained": trained,
        "gigabytes": round((total * held + trained * 3 * width + activations + logits) / 1e9, 1),
        "gpu_hours": round(passes * total * tokens * epochs / (teraflops * 1e12) / 3600, 2),
        "assumed_teraflops": teraflops,
    }


def model_class(plan: Plan) -> Any:
    """The class of `transformers` that loads the plan's base."""
    transformers = require("transformers", "training", "training")
    if plan.objective in ENCODERS:
        return transformers.AutoModel
    sees = load_recipe(plan.recipe).backend == "vision"
    return transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM


def _adapter_size(model: Any, plan: Plan) -> int:
    """Parameters of the adapters, and of the embeddings where they are trained, too."""
    torch = require("torch", "training", "an estimate")
    lora = plan.lora
    assert lora is not None
    output = model.get_output_embeddings()
    size = 0
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(lora.targets, str):
            wanted = lora.targets == "all-linear" or re.fullmatch(lora.targets, name) is not None
        else:
            wanted = last in lora.targets
        if isinstance(module, torch.nn.Linear) and module is not output and wanted:
            size += lora.r * (module.in_features + module.out_features)
    if lora.embeddings:
        matrices = {id(m): m for m in (model.get_input_embeddings(), output)}
        size += sum(matrix.weight.numel() for matrix in matrices.values())
    return size
