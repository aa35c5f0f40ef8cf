"""Weights as whole numbers of one step: `value = step · code`, codes in [0, 2^bits - 1].

The step is the largest weight of all divided by the largest code. Rounding to the nearest step never
turns an order round: two weights that are more than a step apart keep it, nearer ones may become equal.
(The released code takes the largest of *repeated* tokens only, and overflows or divides by zero.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from limrank_plugins.errors import InputError

_TYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16}


def check_bits(bits: int | None) -> None:
    """Raise an `InputError` unless it is None, 8 or 16."""
    if bits is not None and (isinstance(bits, bool) or bits not in _TYPES):
        raise InputError(f"bits must be 8, 16 or None for float32, but got {bits!r}")


def largest_code(bits: int | None) -> int:
    """The largest whole number of this many bits; 0 for None."""
    check_bits(bits)
    return 0 if bits is None else 2**bits - 1


def quantised(values: npt.NDArray[np.float32], bits: int | None) -> tuple[npt.NDArray[Any], float | None]:
    """The codes and the step; the values themselves and None where bits is None.

    Args:
        values: weights, at least 0 and finite.
        bits: 8, 16 or None.
    """
    if bits is None:
        return values, None
    top = largest_code(bits)
    step = float(values.max(initial=0.0)) / top
    if step == 0.0:  # no weight at all
        return np.zeros(len(values), dtype=_TYPES[bits]), 0.0
    codes = np.rint(values.astype(np.float64) / step)
    return np.clip(codes, 0, top).astype(_TYPES[bits]), step
