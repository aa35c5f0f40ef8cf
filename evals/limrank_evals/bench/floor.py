"""What a model has to compute at least, counted; and how fast this processor multiplies at best, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from limrank_evals.bench.interleaved import clock_of
from limrank_plugins.backends.local.prompt_batches import common

_TRIES = 5
_ON_CPU, _ON_GPU = (512, 1024, 2e9), (8192, 8192, 2e13)
"""Rows of a product of the model's shape, the square one's side, and how much a try computes at least."""


@dataclass
class Counts:
    """What a decoder computed.

    Attributes:
        passes: forward passes.
        positions: of all passes, padding included.
        flops: of its linear layers, a multiplication and an addition for each weight and position; attention,
            norms and the output matrix are not in it.
    """

    passes: int = 0
    positions: int = 0
    flops: int = 0


@contextmanager
def counted(model: Any) -> Iterator[Counts]:
    """Count what the decoder of a causal language model computes inside the block."""
    from torch import nn

    counts = Counts()
    decoder = model.get_decoder()

    def noted(_module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named.get("input_ids", arguments[0] if arguments else None)
        counts.passes += 1
        counts.positions += (named["inputs_embeds"][..., 0] if ids is None else ids).numel()

    def multiplied(module: Any, arguments: tuple[Any, ...], _output: Any) -> None:
        counts.flops += 2 * module.weight.numel() * (arguments[0].numel() // module.in_features)

    hooks = [decoder.register_forward_pre_hook(noted, with_kwargs=True)]
    hooks += [
        module.register_forward_hook(multiplied)
        for module in decoder.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def needed_positions(prompts: Sequence[list[int]]) -> int:
    """Positions that must be computed for prompts of one query: what all of them begin with only once."""
    shared = len(common(prompts)) if len(prompts) > 1 else 0
    return sum(map(len, prompts)) - shared * (len(prompts) - 1)


@dataclass(frozen=True, slots=True)
class Floor:
    """What scoring has to compute, beside what this processor can do.

    Attributes:
        precision: of the weights, as `dtype` names it.
        pairs: of query and passage.
        needed_gflop: for all of them, what they have in common only once.
        loop_gflop: if every prompt is read in full.
        peak_gflop_per_second: of a product of matrices of the model's own shape or a square one, whichever is
            faster, in a second of one thread's CPU time, or of a GPU.
    """

    precision: str
    pairs: int
    needed_gflop: float
    loop_gflop: float
    peak_gflop_per_second: float

    def share_of_peak(self, milliseconds: float) -> float:
        """The share of the peak that is reached by so many milliseconds of CPU time a pair."""
        return self.needed_gflop / (self.pairs * milliseconds / 1000 * self.peak_gflop_per_second)

    def share_of_loop_ratio(self, ratio: float) -> float:
        """The share of the loop's FLOPs ÷ the needed ones that this ratio of times is."""
        return ratio * self.needed_gflop / self.loop_gflop


def floor(model: Any, prompts: Sequence[list[int]], precision: str, read: Callable[[], object]) -> Floor:
    """The floor of scoring these prompts.

    Args:
        model: a causal language model of the `transformers` library.
        prompts: their tokens, all of one query.
        precision: of its weights.
        read: reads every prompt in full, without padding.
    """
    with counted(model) as counts:
        read()
    loop = counts.flops / 1e9
    needed = loop * needed_positions(prompts) / counts.positions
    config = model.config.get_text_config()
    width, height = config.hidden_size, getattr(config, "intermediate_size", 0) or config.hidden_size
    return Floor(precision, len(prompts), needed, loop, gemm_peak(precision, width, height, model.device))


def gemm_peak(precision: str, width: int, height: int, device: Any) -> float:
    """Billions of multiplications and additions a second of a device: the fastest of several tries."""
    import torch

    dtype, clock = getattr(torch, precision), clock_of(device)
    some_rows, square, work = _ON_CPU if device.type == "cpu" else _ON_GPU
    best = 0.0
    for rows, inner, columns in ((some_rows, width, height), (square, square, square)):
        left, right = (torch.ones(size, inner, dtype=dtype, device=device) for size in (rows, columns))
        flops = 2 * rows * inner * columns
        repeats = max(1, int(work) // flops)
        torch.nn.functional.linear(left, right)
        for _ in range(_TRIES):
            started = clock()
            for _ in range(repeats):
                torch.nn.functional.linear(left, right)
            best = max(best, repeats * flops / max(clock() - started, 1e-6) / 1e9)
    return best
