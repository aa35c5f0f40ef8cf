"""The forward process of DDPM (arXiv 2006.11239), which RagVL noises images with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.errors import InputError, require

if TYPE_CHECKING:
    from torch import Tensor

FIRST, LAST = 1e-4, 0.02
"""The variances of the first and the last step; those between rise linearly (section 4)."""


def kept_share(step: int, steps: int = 1000) -> float:
    """ᾱ after so many steps: the product of 1 - β_1 to 1 - β_step.

    Args:
        step: from 1 to steps.
        steps: of the whole process; at least 2.

    Raises:
        InputError: a step outside of it.
    """
    torch = require("torch", "training", "a training loss")
    if steps < 2 or not 1 <= step <= steps:
        raise InputError(f"step must be from 1 to {steps}, of at least 2, but is {step!r}")
    betas = torch.linspace(FIRST, LAST, steps, dtype=torch.float64)
    return float((1 - betas[:step]).prod())


def diffused(pixels: Tensor, noise: Tensor, step: int, steps: int = 1000) -> Tensor:
    """x_t = √ᾱ_t · x_0 + √(1 - ᾱ_t) · ε, in one go (equation 4).

    Args:
        pixels: x_0, any shape, as the model gets them.
        noise: ε, the same shape, drawn from N(0, 1).
        step: t, from 1 to steps.
        steps: of the whole process.

    Raises:
        InputError: shapes that differ, or a step outside of the process.
    """
    if pixels.shape != noise.shape:
        raise InputError(f"pixels are {tuple(pixels.shape)}, but noise is {tuple(noise.shape)}")
    kept = kept_share(step, steps)
    return pixels * kept**0.5 + noise.to(pixels.dtype) * (1 - kept) ** 0.5
