"""Low-rank adapters, as a plan describes them and peft puts them on."""

from __future__ import annotations

from typing import Any

from limrank_plugins.errors import require
from limrank_training.plans import Plan


def with_adapters(model: Any, plan: Plan) -> Any:
    """The model with the plan's adapters, whose first state depends on the plan's seed alone."""
    torch = require("torch", "training", "training")
    config = lora_config(model, plan)
    if config is None:
        return model
    peft = require("peft", "training", "LoRA")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return peft.get_peft_model(model, config)


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
