"""What a run will need, from the model's shape alone: parameters, memory, time. No weights are loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from limrank_plugins.backends.local.loading import pretrained
from limrank_plugins.backends.local.sources import checked_source
from limrank_plugins.errors import LimRankError, require
from limrank_plugins.recipes import load_recipe
from limrank_training.generation_needs import Machine, writing_needs
from limrank_training.losses import named_loss
from limrank_training.objectives import OBJECTIVES
from limrank_training.plans import Plan

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


_KEPT = 17
"""Numbers of the hidden size that a layer keeps of each token for the gradient: 34 bytes in 16 bits (arXiv
2205.05198, §4.1). The matrices of attention are not counted, as fused kernels do not keep them."""


def estimate(plan: Plan, size: Mapping[str, int], machine: Machine | None = None) -> dict[str, Any] | None:
    """Parameters, memory and hours of a run on one GPU; None where its shape or tokens are unknown.

    Memory is that of weights, of gradients and AdamW's two moments (in 32 bits), and of activations with the
    logits: a lower bound. Time is 2 FLOPs for a parameter and token forward, 2 for the gradients of
    activations, 2 for those of weights (not where only adapters are trained) and 2 to compute the forward
    pass again (`recompute`), over all epochs.

    With `"grpo"` answers are taken to be as long as they may be, so these are upper bounds of what is
    written; memory is that of learning or of writing, whichever is more. Forward passes of the model before
    training (`beta`) and of the one that wrote the answers (`iterations`, `ahead`) are counted.

    Args:
        plan: see there.
        size: `examples`, `tokens` of all of them and `longest`; with `"grpo"` those of prompts.
        machine: what a GPU is assumed to reach; default: about an H100.

    Returns:
        `parameters`, `trained`, `gigabytes`, `gpu_hours`, for `"grpo"` a table `writing`, and what was
        `assumed`.
    """
    torch = require("torch", "training", "an estimate")
    if not size["tokens"]:  # nobody counted them
        return None
    try:
        config = pretrained("AutoConfig", checked_source(plan.base), extra="training")
        kind = model_class(plan)
        kind._model_mapping[type(config)]  # imports it: inside "meta" torch 2.6 could not
    except (OSError, ValueError, KeyError, LimRankError):
        return None
    with torch.device("meta"):
        model = kind.from_config(config)
    machine = Machine() if machine is None else machine
    text, o, grpo = config.get_text_config(), plan.optimiser, plan.grpo
    total, width = sum(parameter.numel() for parameter in model.parameters()), _BYTES[plan.precision]
    added = 0 if plan.lora is None else _added(model, plan)
    trained = added or total
    held = total * _held(plan) + 4 * added + 12 * trained
    tokens, longest, answer = size["tokens"] * o.epochs, size["longest"], size["longest"]
    passes, writing = (6 if plan.lora is None else 4) + 2 * plan.recompute, None
    if grpo is not None:
        writing = writing_needs(plan, text, size, total, width, machine)
        held += total * 4 * (grpo.beta > 0 and plan.lora is None)  # the model before training
        tokens = o.epochs * grpo.generations * (size["tokens"] + size["examples"] * grpo.completion)
        longest, answer = longest + grpo.completion, grpo.completion
        passes *= grpo.iterations
        passes += 2 * (grpo.beta > 0) + 2 * (grpo.iterations > 1 or grpo.ahead > 1)
    kept = text.num_hidden_layers + _KEPT if plan.recompute else text.num_hidden_layers * _KEPT
    objective, rows = OBJECTIVES[plan.objective], o.part
    if objective.reads_labels:  # where a prompt ends, and nowhere else
        answer = 1
    if objective.is_of_queries or (objective.reads_labels and named_loss(plan).is_of_queries):
        rows *= plan.lists.size
    logits = 0 if objective.is_encoder else answer * text.vocab_size * (width + 8)
    working = rows * (longest * text.hidden_size * kept * width + logits)
    hours = passes * total * tokens / (machine.teraflops * 1e12) / 3600
    needs: dict[str, Any] = {"parameters": total, "trained": trained}
    if writing is not None:
        working, hours = max(working, writing.cache + writing.logits), hours + writing.hours
        needs["writing"] = {
            "answers_at_once": writing.at_once,
            "cache_gigabytes": round(writing.cache / 1e9, 1),
            "tokens_per_second": round(writing.rate),
            "gpu_hours": round(writing.hours, 2),
        }
    needs |= {"gigabytes": round((held + working) / 1e9, 1), "gpu_hours": round(hours, 2)}
    return needs | {"assumed": asdict(machine)}


def held_precision(plan: Plan) -> str:
    """Of the weights in memory: the plan's where adapters are trained beside them, else 32 bits."""
    return "float32" if plan.lora is None else plan.precision


def model_class(plan: Plan) -> Any:
    """The class of `transformers` that loads the plan's base."""
    transformers = require("transformers", "training", "training")
    if OBJECTIVES[plan.objective].is_encoder:
        return transformers.AutoModel
    sees = load_recipe(plan.recipe).backend == "vision"
    return transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM


def _held(plan: Plan) -> float:
    """Bytes of each of the base's weights."""
    return 0.5 if plan.lora is not None and plan.lora.four_bit else _BYTES[held_precision(plan)]


def _added(model: Any, plan: Plan) -> int:
    """Parameters of the adapters, and of the copies that are trained whole."""
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
