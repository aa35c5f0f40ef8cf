"""Loading a GGUF file with llama.cpp: what it says of errors becomes one sentence, and nothing is printed."""

from __future__ import annotations

import ctypes
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError

_ERROR, _CONTINUED = 4, 5
"""Levels of ggml's log; llama-cpp-python takes them for others, so that warnings are errors to it."""

_PASSED = re.compile(r"^(?:\w+: )?(?:error loading model(?: \w+)?: )*")
_LOADING = threading.Lock()


def load_model(llama: Any, file: Path, **options: Any) -> Any:
    """The model in a file; whoever asks for it frees it.

    Args:
        llama: the module `llama_cpp`.
        file: a GGUF file.
        options: of llama.cpp (`llama_model_params`).

    Raises:
        BackendError: llama.cpp cannot load it, or it is no model that writes.
    """
    params = llama.llama_model_default_params()
    for name, value in options.items():
        setattr(params, name, value)
    with quiet(llama) as said:
        model = llama.llama_model_load_from_file(str(file).encode(), params)
    if not model:
        raise BackendError(f"llama.cpp cannot load {file}{why(said)}")
    try:
        _check_kind(llama, model, file)
    except BackendError:
        llama.llama_model_free(model)
        raise
    return model


def _check_kind(llama: Any, model: Any, file: Path) -> None:
    if llama.llama_model_has_encoder(model):
        raise BackendError(
            f"{file} holds a model with an encoder, which this backend does not run: use backend='seq2seq'"
        )
    if not llama.llama_model_has_decoder(model) or llama.llama_model_is_diffusion(model):
        raise BackendError(f"{file} holds no model that writes one token after the other: give another")


@contextmanager
def quiet(llama: Any) -> Iterator[list[str]]:
    """While a model is loaded: what llama.cpp says of errors is kept, and nothing is printed.

    Later, what is printed follows the level of its logger, which is raised unless somebody has set it.
    """
    said: list[str] = []
    level = 0

    @llama.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(of: int, text: bytes, _: Any) -> None:
        nonlocal level
        level = level if of == _CONTINUED else of
        if level == _ERROR:
            said.append(text.decode("utf-8", "replace"))

    with _LOADING:
        llama.llama_log_set(keep, ctypes.c_void_p(0))
        try:
            yield said
        finally:
            llama.llama_log_set(llama._logger.llama_log_callback, ctypes.c_void_p(0))
    logger = logging.getLogger("llama-cpp-python")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


def why(said: Sequence[str]) -> str:
    """The first reason that llama.cpp gives, behind the names of the functions it passed through."""
    lines = [" ".join(line.split()) for line in "".join(said).splitlines() if line.strip()]
    return f": {_PASSED.sub('', lines[0])[:300]}" if lines else ""
