"""What of a model is trained: low-rank adapters, as a plan describes them and peft puts them on, or all.

What is trained is held in 32 bits, whatever the plan's precision: a step of 1e-6 is lost in 16, where
numbers around 0.02 are 1e-4 (bfloat16) or 2e-5 (float16) apart. Products are in the plan's precision.
"""

from __future__ import annotations

from typing import Any

from limrank_plugins.backends.local.lora import quiet
from limrank_plugins.errors import require
from limrank_training.plans import Plan


def with_adapters(model: Any, plan: Plan) -> Any:
    """The model with the plan's adapters, whose first state depends on the plan's seed alone.

    What is trained is in 32 bits afterwards; see `hold_in_full`.
    """
    torch = require("torch", "training", "training")
    config = lora_config(model, plan)
    if config is not None:
        peft = require("peft", "training", "LoRA")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            with quiet():
                model = peft.get_peft_model(model, config)
    hold_in_full(model)
    return model


def hold_in_full(model: Any) -> None:
    """Turn what is trained into 32 bits; peft does so with adapters, but not with what is trained whole."""
    torch = require("torch", "training", "training")
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.float32)


def lora_config(model: Any, plan: Plan) -> Any:
    """The plan's adapters as peft wants them described; None for none."""
    if plan.lora is None:
        return None
    peft = require("peft", "training", "LoRA")
    lora = plan.lora
    return peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        modules_to_save=[*(_embedding_names(model) if lora.embeddings else []), *lora.whole] or None,
        task_type="CAUSAL_LM",
    )


def _embedding_names(model: Any) -> list[str]:
    """The last parts of the names of the input and output embeddings."""
    wanted = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    return sorted({name.rpartition(".")[2] for name, module in model.named_modules() if id(module) in wanted})
