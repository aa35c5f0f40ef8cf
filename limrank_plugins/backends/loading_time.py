"""How long models took to load in this process: shown apart from the time that they took to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_INSIDE = threading.local()
_seconds = 0.0


def loading_seconds() -> float:
    """Seconds spent loading so far; what is wanted is mostly a difference of two readings."""
    return _seconds


@contextmanager
def timed_loading() -> Iterator[None]:
    """Count the block as loading. Of blocks inside each other the outer one counts."""
    global _seconds
    if getattr(_INSIDE, "is_loading", False):
        yield
        return
    _INSIDE.is_loading = True
    started = time.perf_counter()
    try:
        yield
    finally:
        _INSIDE.is_loading = False
        with _LOCK:
            _seconds += time.perf_counter() - started
