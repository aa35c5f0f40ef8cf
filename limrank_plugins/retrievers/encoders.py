"""The encoders of saved and pickled indexes: what makes one again."""

from __future__ import annotations

import inspect
import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.backends import backend_class
from limrank_plugins.backends.protocols import Backend
from limrank_plugins.checks import options_of_file
from limrank_plugins.errors import InputError, one_sentence
from limrank_plugins.retrievers.folder import MANIFEST, corrupt

# What an index may say about its encoder. Other backends, and code that comes with a model, are the caller's.
ENCODERS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "encoder": {
        "model": str,
        "dtype": str,
        "revision": (str, type(None)),
        "query_prompt": str,
        "passage_prompt": str,
        "exact": bool,
    },
    "multimodal-encoder": {
        "model": str,
        "own_encode": bool,
        "fusion": str,
        "dtype": str,
        "revision": (str, type(None)),
        "query_instruction": str,
        "max_length": int,
    },
}


def backend_of_file(folder: str | os.PathLike[str], name: Any, arguments: dict[str, Any]) -> Backend:
    """The encoder that a manifest describes. A manifest may come from anyone: it never runs code."""
    known = ENCODERS.get(name) if isinstance(name, str) else None
    if known is None:
        raise InputError(
            f"the index {folder} names the backend {name!r}, which no index may name; it may name: "
            f"{', '.join(ENCODERS)}. Pass the backend it was built with: backend=…"
        )
    options = options_of_file(f"the manifest of {folder}", arguments, known)
    for key, value in options.items():
        if not isinstance(value, known[key]):
            raise corrupt(Path(folder) / MANIFEST, f"the encoder's {key} is {value!r}")
    kind = backend_class(name)
    try:
        inspect.signature(kind).bind(**options)
    except TypeError as error:
        raise InputError(f"the index was built with another version ({error}): build it again") from error
    backend: Backend = kind(**options)
    return backend


class _EncoderArguments(NamedTuple):
    """What makes an encoder again, in the place of one in a pickle."""

    name: str
    arguments: dict[str, Any]


def packed(backend: Backend) -> Any:
    """What a pickle holds in the place of a backend.

    Raises:
        TypeError: it can neither be made again from its arguments nor be pickled.
    """
    arguments = getattr(backend, "arguments", None)
    if backend.name in ENCODERS and isinstance(arguments, dict):
        return _EncoderArguments(backend.name, arguments)
    try:
        pickle.dumps(backend)
    except Exception as error:
        raise TypeError(
            f"this dense index cannot be pickled, as its backend {backend.name!r} cannot "
            f"({one_sentence(error)}): save it, and load it where it is needed with backend=…"
        ) from error
    return backend


def unpacked(backend: Any) -> Backend:
    """The backend that `packed` stands for: made again, or itself."""
    if isinstance(backend, _EncoderArguments):
        backend = backend_class(backend.name)(**backend.arguments)
    remade: Backend = backend
    return remade
