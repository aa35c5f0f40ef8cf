"""Where a model runs and in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limrank_plugins.errors import InputError, one_sentence, require

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Placement:
    """A device and a dtype of `torch`."""

    device: Any
    dtype: Any

    @property
    def on_cpu(self) -> bool:
        """Whether it is the CPU, where every row is computed alone."""
        return bool(self.device.type == "cpu")

    @property
    def precision(self) -> str:
        """The dtype's name, such as `"float32"`."""
        return str(self.dtype).removeprefix("torch.")


def placement(device: str | None, dtype: Any, extra: str, why: str) -> Placement:
    """The device and dtype that a caller asked for.

    Args:
        device: `"cpu"`, `"cuda:1"`, …; default: a GPU where there is one.
        dtype: `"float32"`, `"bfloat16"`, `"float16"` or one of these three of `torch`; default: float32
            on a CPU, else bfloat16.
        extra: the extra that brings torch.
        why: what needs torch.

    Raises:
        InputError: a device that is not here, or another dtype.
        MissingExtra: torch is not installed.
    """
    torch = require("torch", extra, why)
    if device is None:
        mps = getattr(torch.backends, "mps", None)
        device = "cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {device!r} cannot be used here: {one_sentence(error)}") from error
    if dtype is None:
        return Placement(place, torch.float32 if place.type == "cpu" else torch.bfloat16)
    chosen = getattr(torch, dtype) if isinstance(dtype, str) and dtype in PRECISIONS else dtype
    if chosen not in [getattr(torch, name) for name in PRECISIONS]:
        raise InputError(f"dtype must be one of {', '.join(PRECISIONS)}, but got {dtype!r}")
    return Placement(place, chosen)
