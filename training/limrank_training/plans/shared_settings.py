"""The tables of a plan that belong to no single objective: adapters, optimiser, lists, watching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limrank_plugins.checks import finite_number, whole_number
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
        whole_number("lora.r", self.r, least=1)
        whole_number("lora.alpha", self.alpha, least=1)
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
        for name in ("batch", "part"):
            whole_number(f"optimiser.{name}", getattr(self, name), least=1)
        for name in ("rate", "epochs"):
            finite_number(f"optimiser.{name}", getattr(self, name), above=0)
        if self.head is not None:
            finite_number("optimiser.head", self.head, above=0)
        if self.steps is not None:
            whole_number("optimiser.steps", self.steps, least=1)
        if not 0 <= self.warmup < 1:
            raise InputError(f"optimiser.warmup must be in [0, 1), but is {self.warmup!r}")
        for name in ("decay", "clip", "neftune"):
            finite_number(f"optimiser.{name}", getattr(self, name), least=0)


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
        whole_number("lists.size", self.size, least=2)
        whole_number("lists.least", self.least, least=1)


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """nDCG@10 of kept-out queries at every checkpoint, and what follows from it.

    Attributes:
        queries: most of them that are ranked.
        reasoning: reason about each passage, where the plan learns to; without, the verdict is read at once,
            for a fraction of the time.
        max_reasoning_tokens: the most tokens of a passage's reasoning.
        patience: so many checkpoints in a row without a better one end the run; None: none does.
        best: export the best checkpoint rather than the last one.
    """

    queries: int = 50
    reasoning: bool = False
    max_reasoning_tokens: int = 512
    patience: int | None = None
    best: bool = True

    def __post_init__(self) -> None:
        whole_number("watch.queries", self.queries, least=1)
        whole_number("watch.max_reasoning_tokens", self.max_reasoning_tokens, least=1)
        if self.patience is not None:
            whole_number("watch.patience", self.patience, least=1)
