"""The tables of a plan: adapters, optimiser, lists, and what single objectives need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adapters (arXiv 2106.09685).

    Attributes:
        r: their rank.
        alpha: their scale is alpha / r.
        dropout: on their input.
        targets: `"all-linear"` (all but the output matrix), another text as a regular expression over
            whole names, or a list of last names.
        embeddings: also train input and output embeddings in full, as LLaMA-Factory does with
            `resize_vocab`: about 1.1 billion parameters for Qwen2.5-7B.
        whole: last names of modules that are trained in full beside the adapters (a projector).
        four_bit: load the base in 4 bits (QLoRA, arXiv 2305.14314); needs bitsandbytes and a GPU.
    """

    r: int = 32
    alpha: int = 64
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    embeddings: bool = False
    whole: tuple[str, ...] = ()
    four_bit: bool = False

    def __post_init__(self) -> None:
        positive("lora.r", self.r)
        positive("lora.alpha", self.alpha)
        if not 0 <= self.dropout < 1:
            raise InputError(f"lora.dropout must be in [0, 1), but is {self.dropout!r}")


@dataclass(frozen=True, slots=True)
class OptimiserSettings:
    """AdamW and its schedule.

    Attributes:
        rate: the highest learning rate.
        schedule: `"constant"`, `"linear"` or `"cosine"`, after the warm-up.
        warmup: the share of all steps in which the rate rises from 0.
        epochs: passes over the data.
        steps: instead of epochs, so many steps; None: epochs decide.
        batch: examples of a step, over all processes and accumulated parts.
        part: examples of one process computed at a time. With `"grpo"`, `batch` counts prompts and `part`
            answers to them.
        decay: weight decay, of matrices only.
        clip: the largest norm of the gradient; 0: none.
        head: another rate, of a head on an encoder or of a projector; None: the same.
        neftune: noise on the input embeddings (NEFTune, arXiv 2310.05914); 0: none.
    """

    rate: float = 1e-4
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: float = 0.03
    epochs: float = 1.0
    steps: int | None = None
    batch: int = 128
    part: int = 4
    decay: float = 0.0
    clip: float = 1.0
    neftune: float = 0.0
    head: float | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "epochs", "batch", "part"):
            positive(f"optimiser.{name}", getattr(self, name))
        if self.head is not None:
            positive("optimiser.head", self.head)
        if self.steps is not None:
            positive("optimiser.steps", self.steps)
        if not 0 <= self.warmup < 1:
            raise InputError(f"optimiser.warmup must be in [0, 1), but is {self.warmup!r}")
        for name in ("decay", "clip", "neftune"):
            not_negative(f"optimiser.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True)
class ListSettings:
    """What is shown of a group of passages.

    Attributes:
        size: most passages; of more, the best one stays and others are drawn by the plan's seed.
        shuffle: show them in an order drawn by the plan's seed; labels and orders follow. Data whose
            positives always come first would teach a model to name the first one.
        least: tokens of a passage that are always kept; a group that does not fit so is dropped.
    """

    size: int = 20
    shuffle: bool = False
    least: int = 16

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InputError(f"lists.size must be at least 2, but is {self.size!r}")
        positive("lists.least", self.least)


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """nDCG@10 of kept-out queries at every checkpoint, and what follows from it.

    Attributes:
        queries: most of them that are ranked.
        reasoning: think about each passage, where the plan learns to; without, the verdict is read at once,
            for a fraction of the time.
        thought: most tokens of a thought.
        patience: so many checkpoints in a row without a better one end the run; None: none does.
        best: export the best checkpoint rather than the last one.
    """

    queries: int = 50
    reasoning: bool = False
    thought: int = 512
    patience: int | None = None
    best: bool = True

    def __post_init__(self) -> None:
        positive("watch.queries", self.queries)
        positive("watch.thought", self.thought)
        if self.patience is not None:
            positive("watch.patience", self.patience)


@dataclass(frozen=True, slots=True)
class FirstSettings:
    """What FIRST (arXiv 2406.15657) adds to the likelihood of an order.

    Attributes:
        loss: over the labels' logits where the first label is predicted: `"ranknet"` or `"listnet"`.
        weighted: RankNet's pairs by 1 / (sum of ranks).
        weight: of that loss; the likelihood has 1.
    """

    loss: Literal["ranknet", "listnet"] = "ranknet"
    weighted: bool = True
    weight: float = 10.0

    def __post_init__(self) -> None:
        not_negative("joint.weight", self.weight)


@dataclass(frozen=True, slots=True)
class GrpoSettings:
    """Group-relative policy optimisation (arXiv 2402.03300), by trl.

    All that trl has a default for is here or set in `limrank_training.grpo`: its defaults have changed
    more than once since the papers.

    Attributes:
        generations: answers to each prompt, at least 2.
        completion: most tokens of an answer; a longer one is cut off and judged as it is.
        temperature, top_p, top_k: of the sampling; top_k 0: all tokens.
        beta: weight of the divergence from the model before training; 0: none, and no such model is held.
        loss: how tokens are averaged: `"grpo"` within each answer, then over answers; `"bnpo"` over all
            tokens of a part; `"dapo"` over all tokens of a step; `"dr_grpo"` over a constant.
        scale: rewards are divided by their standard deviation in the `"group"`, in the `"batch"`, or not
            (`"none"`).
        epsilon: the ratio is clipped to [1 - epsilon, 1 + epsilon].
        epsilon_high: the upper one, where it is another.
        iterations: passes over each batch of answers.
        ahead: steps whose answers are written at once, before the first of them.
        importance: ratios by `"token"` or by `"sequence"`.
        mask_truncated: do not learn from answers that were cut off.
        corrected_kl: weigh the divergence by the ratio (DeepSeek-V3.2); trl does so today, no paper here did.
        weights: of the recipe's rewards, in their order; empty: 1 each.
        vllm: write answers with vLLM in the same processes, which must be installed.
    """

    generations: int = 8
    completion: int = 2048
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    beta: float = 0.04
    loss: Literal["grpo", "bnpo", "dapo", "dr_grpo"] = "grpo"
    scale: Literal["group", "batch", "none"] = "group"
    epsilon: float = 0.2
    epsilon_high: float | None = None
    iterations: int = 1
    ahead: int = 1
    importance: Literal["token", "sequence"] = "token"
    mask_truncated: bool = False
    corrected_kl: bool = False
    weights: tuple[float, ...] = ()
    vllm: bool = False

    def __post_init__(self) -> None:
        if self.generations < 2:
            raise InputError(f"grpo.generations must be at least 2, but is {self.generations!r}")
        for name in ("completion", "temperature", "epsilon", "iterations", "ahead"):
            positive(f"grpo.{name}", getattr(self, name))
        if not 0 < self.top_p <= 1:
            raise InputError(f"grpo.top_p must be in (0, 1], but is {self.top_p!r}")
        for name in ("top_k", "beta"):
            not_negative(f"grpo.{name}", getattr(self, name))


def positive(name: str, value: float) -> None:
    """Raise an `InputError` unless the setting is a number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} must be > 0, but is {value!r}")


def not_negative(name: str, value: float) -> None:
    """Raise an `InputError` unless the setting is a number of at least 0."""
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{name} must be >= 0, but is {value!r}")
