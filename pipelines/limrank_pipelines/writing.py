"""What a rewriter and a reader share: a backend that writes, and the numbers that shape its writing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from limrank_plugins.arguments import named_backend
from limrank_plugins.backends.protocols import Backend, Generates
from limrank_plugins.errors import CapabilityError, InputError


def writing_backend(
    who: str, backend: str | Backend, model: str | None, options: Mapping[str, Any]
) -> Backend:
    """The backend as it is, or made from its name; one that can be asked to write.

    Args:
        who: what wants it, as in `"a reader"`.
        backend: a backend, or the name of one.
        model: what a backend given by name loads.
        options: of its constructor.

    Raises:
        InputError: no such backend or option, no model, or options for a backend that is made already.
        CapabilityError: it cannot write.
    """
    made: Backend
    if isinstance(backend, str):
        if model is None:
            raise InputError(
                f"name the model that backend {backend!r} is to load: model='folder or hub name'"
            )
        made = named_backend(backend, model, dict(options))
    elif model is not None or options:
        given = [*(["model"] if model is not None else []), *options]
        raise InputError(f"{', '.join(given)}: give them to the backend itself, which is already made")
    else:
        made = backend
    if not isinstance(made, Generates):
        raise CapabilityError(
            f"{who} needs a backend that can write text, which {made.name!r} cannot be asked"
        )
    return made


def whole(name: str, value: int | None, default: int, *, least: int | None) -> int:
    """The number, or the default for None.

    Raises:
        InputError: it is not whole, or below the least.
    """
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        bound = "" if least is None else f" >= {least}"
        raise InputError(f"{name} must be a whole number{bound}, but got {value!r}")
    return value


def drawn_at(value: float | None, samples: int) -> float:
    """The temperature; by default 0 for one sample, 0.7 for several.

    Raises:
        InputError: it is below 0, not finite, or 0 for several samples.
    """
    if value is None:
        return 0.0 if samples == 1 else 0.7
    if isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
        raise InputError(f"temperature must be >= 0, but got {value!r}")
    if value == 0 and samples > 1:
        raise InputError("samples > 1 at temperature 0 would be the same text again: give a temperature > 0")
    return value


def nucleus(top_p: float) -> float:
    """`top_p`.

    Raises:
        InputError: it is not in (0, 1].
    """
    if isinstance(top_p, bool) or not 0 < top_p <= 1:
        raise InputError(f"top_p must be in (0, 1], but got {top_p!r}")
    return top_p
