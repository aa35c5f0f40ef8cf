"""`Lazy`: something expensive that is made at first use, once, whichever thread asks first; late imports."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Holds a model or an index. Copies of an object share what its `Lazy` holds; a pickled one is empty.

    Example:
        >>> model = Lazy()
        >>> model.get(lambda: "loaded"), model.get(lambda: "loaded again")
        ('loaded', 'loaded')
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: T | None = None

    def get(self, make: Callable[[], T]) -> T:
        """The value; `make` is called where there is none yet, by one thread at a time."""
        with self._lock:
            if self._value is None:
                self._value = make()
            return self._value

    @property
    def held(self) -> T | None:
        """The value, if there is one already."""
        return self._value

    def pop(self) -> T | None:
        """The value, if there is one, to be closed by the caller; the next `get` makes another."""
        with self._lock:
            value, self._value = self._value, None
        return value

    def __copy__(self) -> Lazy[T]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Lazy[T]:
        return self

    def __reduce__(self) -> tuple[type[Lazy[T]], tuple[()]]:
        return Lazy, ()


def deep_copied(original: T, memo: dict[int, Any], shared: Collection[str] = ()) -> T:
    """A deep copy of an object that does not go through its pickle, which may lack or refuse something.

    Args:
        original: an object with a `__dict__`.
        memo: what `__deepcopy__` was given.
        shared: attributes that the copy has in common with the original.
    """
    copied = object.__new__(type(original))
    memo[id(original)] = copied  # attributes may point back at it
    for name, value in vars(original).items():
        copied.__dict__[name] = value if name in shared else copy.deepcopy(value, memo)
    return copied


def shallow_copied(original: T) -> T:
    """A copy that shares all attributes, of an object that does not go through its pickle."""
    copied = object.__new__(type(original))
    copied.__dict__.update(vars(original))
    return copied


def exports(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`, which imports what it exports when that is asked for.

    Args:
        package: its name.
        where: the module of every name, below the package.
    """

    def __getattr__(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{where[name]}"), name)

    return __getattr__
