"""Where a model runs and in which precision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from limrank_plugins.errors import InputError, one_sentence, require

PRECISIONS = ("float32", "bfloat16", "float16")
_NAME = re.compile(r"([a-z]+)(?::([0-9]{1,4}))?")


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


def check_device(device: object) -> None:
    """Check a device without using it, so that processes can still be forked; None is the default.

    Raises:
        InputError: it is no device, or none of this machine. Where torch is not installed, what the name of
            a GPU stands for is not known, and nothing is raised.
    """
    if device is None:
        return
    match = _NAME.fullmatch(str(device))  # a `torch.device` reads the same
    if match is None:
        raise InputError(f"device must be a name like 'cpu', 'cuda', 'cuda:1' or 'mps', but got {device!r}")
    kind, number = match[1], int(match[2] or 0)
    if find_spec("torch") is None or kind == "cpu":
        return
    torch = import_module("torch")
    if kind == "cuda" and (there := torch.cuda.device_count()) <= number:
        has = f"only {there} CUDA GPUs, counted from 0" if there else "no CUDA GPU that torch can use"
        raise InputError(f"device {device!r} cannot be used here: this machine has {has}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {device!r} cannot be used here: torch finds no GPU of a Mac")
    try:
        torch.device(device)
    except RuntimeError as error:
        raise InputError(
            f"device {device!r} cannot be used here: 'cpu', 'cuda', 'cuda:1' and 'mps' are devices of torch"
        ) from error


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
    check_device(device)
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
