"""Models of known shapes with random weights, rows for them, and the FLOPs that they need."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from limrank_plugins.errors import require
from limrank_training.data.passage_layout import Example
from limrank_training.plans import Plan

_WHY = "a benchmark"

SHAPES: dict[str, dict[str, Any]] = {
    "0.5b": {
        "vocab_size": 151_936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "7b": {
        "vocab_size": 152_064, "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False,
    },
    "tiny": {
        "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False,
    },
}  # fmt: skip
"""Qwen2.5-0.5B, Qwen2.5-7B, and one for a processor."""

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""FLOPs a second in 16 bits without sparsity, by a part of the GPU's name (makers' data sheets, SXM)."""


def rows(count: int, cutoff: int, vocabulary: int, seed: int = 0) -> list[Example]:
    """Random tokens: 150 to 1,000 are given, like a prompt, and 50 to 1,000 learned, like a trace."""
    draw, examples = random.Random(seed), []
    for number in range(count):
        prompt_length, learned_length = draw.randint(150, 1000), draw.randint(50, 1000)
        share = min(1.0, cutoff / (prompt_length + learned_length))
        prompt_length, learned_length = int(prompt_length * share), int(learned_length * share)
        ids = tuple(draw.randrange(vocabulary) for _ in range(prompt_length + learned_length))
        examples.append(Example(ids, learned=prompt_length, where=f"row {number}"))
    return examples


def flops(model: Any, examples: Sequence[Example]) -> float:
    """FLOPs that a token of these rows needs; passes computed again are not counted, as in any MFU.

    For each weight of a matrix 2 forward, 2 for the gradient of its input, and 2 for its own where it is
    trained; and causal attention, whose two products see half of the row on average.

    Args:
        model: with its adapters.
        examples: whose lengths count.
    """
    torch = require("torch", "training", _WHY)
    weights = 0
    for name, module in model.named_modules():
        # Of a matrix that is trained in full peft keeps the original, which is not computed with.
        if isinstance(module, torch.nn.Linear) and "original_module" not in name:
            weights += module.weight.numel() * (6 if module.weight.requires_grad else 4)
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    squares = sum(len(e.ids) ** 2 for e in examples) / sum(len(e.ids) for e in examples)
    return float(weights + 6 * squares * config.num_attention_heads * head * config.num_hidden_layers)


def random_model(shape: str, plan: Plan) -> Any:
    """A model of this shape with random weights, in the plan's precision, on the GPU where there is one."""
    torch = require("torch", "training", _WHY)
    transformers = require("transformers", "training", _WHY)
    config = transformers.Qwen2Config(
        **SHAPES[shape], max_position_embeddings=32_768, bos_token_id=None, eos_token_id=None
    )
    with torch.random.fork_rng(), torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        torch.manual_seed(plan.seed)
        return transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, plan.precision))
