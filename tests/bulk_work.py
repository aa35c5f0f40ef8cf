"""What the workers of the bulk tests do; a module of its own, because workers import it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from scripts import logits, passage_of, unit

from limrank_plugins import Reranker, ScriptedBackend
from limrank_plugins.errors import InputError


def make(folder: str = "", kill: bool = False) -> Reranker:
    """A reranker that judges by chance, but always the same.

    Args:
        folder: where every query that is ranked leaves a file named after the process.
        kill: the first worker that reads "lethal" sends itself SIGKILL, in the middle of its partition.
    """

    def judge(prompt: Any) -> tuple[float, ...]:
        text = passage_of(prompt)
        if folder:
            name = f"{os.getpid()}-{int(2**32 * unit(prompt.text))}"
            (Path(folder) / name).touch()
            if kill and "lethal" in text:
                try:
                    (Path(folder) / "killed").touch(exist_ok=False)
                except FileExistsError:
                    return logits(prompt)
                os.kill(os.getpid(), signal.SIGKILL)
        return logits(prompt)

    return Reranker("limrank", backend=ScriptedBackend(read_labels=judge), reasoning="none")


def fails() -> Reranker:
    """Makes none."""
    raise InputError("the model is not there")
