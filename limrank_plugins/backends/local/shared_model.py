"""A model that many threads share: loaded once, used in turns, released once."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from limrank_plugins.backends.loading_time import timed_loading
from limrank_plugins.errors import BackendError

T = TypeVar("T")


class SharedModel(Generic[T]):
    """Holds a model for a backend.

    Args:
        name: what messages call it, such as `"the encoder 'mini'"`.
        model: the model, or what else is to be released.
        load: makes it when it is first used, where there is no `model`.

    Attributes:
        held: the model; None before it is loaded and after `close`.
    """

    def __init__(self, name: str, model: T | None = None, load: Callable[[], T] | None = None) -> None:
        self.held = model
        self._name = name
        self._load = load
        self._lock = threading.RLock()

    @contextmanager
    def turn(self) -> Iterator[T]:
        """The model, for one thread at a time.

        Raises:
            BackendError: it is closed, or cannot be loaded.
        """
        with self._lock:
            if self.held is None and self._load is not None:
                with timed_loading():
                    self.held = self._load()
            if self.held is None:
                raise BackendError(f"{self._name} is closed: make a new one")
            yield self.held

    def close(self) -> None:
        """Release the model and its memory. May be called twice; afterwards nothing can be asked."""
        with self._lock:
            was_held = self.held is not None
            self.held = self._load = None
        if was_held:
            gc.collect()
            torch = sys.modules.get("torch")
            if torch is not None and torch.cuda.is_available():
                torch.cuda.empty_cache()
