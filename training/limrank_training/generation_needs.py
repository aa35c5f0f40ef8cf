"""What it takes to write the answers that GRPO learns from: a cache of keys and values, and hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limrank_training.plans import Plan


@dataclass(frozen=True, slots=True)
class Machine:
    """What one GPU is assumed to reach; about what an H100 does.

    Attributes:
        teraflops: of products, 10^12 a second: 30 % of its peak in 16 bits.
        terabytes: read from its memory, 10^12 a second: 60 % of its peak.
        launch: seconds that a pass over one token of each answer takes at least, as Python launches every
            kernel of it; 0 is taken with vLLM.
    """

    teraflops: float = 300.0
    terabytes: float = 2.0
    launch: float = 0.025


@dataclass(frozen=True, slots=True)
class GenerationNeeds:
    """The needs of writing, on one GPU.

    Attributes:
        at_once: answers that are written at once.
        cache: bytes of their keys and values, prompts as long as the longest.
        logits: bytes of the logits of one pass.
        hours: of reading the prompts and writing, over all epochs.
        rate: tokens a second while writing, all answers together.
    """

    at_once: int
    cache: int
    logits: int
    hours: float
    rate: float


def writing_needs(
    plan: Plan, text: Any, size: Mapping[str, int], parameters: int, width: int, machine: Machine
) -> GenerationNeeds:
    """The needs of a plan whose answers are all as long as they may be.

    A pass writes one token of each answer. It reads all weights and what the cache holds (on average the
    prompt and half of an answer), and makes 2 FLOPs for each parameter and answer; whichever takes longest
    is its time, or the launch of its kernels. Prompts are read once for each answer.

    Args:
        plan: with a table `grpo`.
        text: the language model's config.
        size: `examples`, `tokens` and `longest` of the prompts.
        parameters: of the model.
        width: bytes of a number.
        machine: what a GPU is assumed to reach.
    """
    grpo = plan.grpo
    assert grpo is not None
    at_once = plan.optimiser.batch * grpo.ahead * grpo.generations
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    a_token = 2 * text.num_hidden_layers * heads * head * width  # a key and a value in every layer
    mean = size["tokens"] / size["examples"] + grpo.completion / 2
    flops, read = machine.teraflops * 1e12, machine.terabytes * 1e12
    a_pass = max(
        0.0 if grpo.vllm else machine.launch,
        (parameters * width + at_once * mean * a_token) / read,
        2 * parameters * at_once / flops,
    )
    epochs = plan.optimiser.epochs
    answers = epochs * size["examples"] * grpo.generations
    reading = 2 * parameters * size["tokens"] * grpo.generations * epochs / flops
    return GenerationNeeds(
        at_once=at_once,
        cache=at_once * (size["longest"] + grpo.completion) * a_token,
        logits=at_once * text.vocab_size * 4,
        hours=(reading + answers / at_once * grpo.completion * a_pass) / 3600,
        rate=at_once / a_pass,
    )
