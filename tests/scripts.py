"""Scripted models for tests: deterministic functions of the text, so that any order gives the same answer."""

from __future__ import annotations

import hashlib
from typing import Any

from limrank_plugins import AsyncScriptedBackend, Reranker, ScriptedBackend
from limrank_plugins.segments import Prompt


def unit(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big") / 2**32


def passage_of(prompt: Prompt) -> str:
    """The passage a prompt asks about."""
    return next(segment.text for segment in prompt.segments if segment.cuttable)


def logits(prompt: Prompt) -> tuple[float, float]:
    """Label logits by passage and length of the thought."""
    return (6 * unit(passage_of(prompt)), 3.0 + (0.1 if "thought" in prompt.text else 0.0))


def thought(prompt: Prompt) -> str:
    """A thought that closes by itself for about half of the passages."""
    mood = unit("mood" + passage_of(prompt))
    return "A thought. Another thought.</think> true" if mood > 0.5 else "A thought without an end. It goes o"


def vector(text: str, role: str) -> list[float]:
    """A vector by text."""
    return [unit(f"{axis}{text}") - 0.5 for axis in range(8)]


def full_backend(*, asynchronous: bool = False, **scripts: Any) -> ScriptedBackend:
    """A backend that can be asked everything."""
    made = {"read_labels": logits, "generate": thought, "encode": vector} | scripts
    return (AsyncScriptedBackend if asynchronous else ScriptedBackend)(**made)


def reranker(recipe: str = "limrank", *, asynchronous: bool = False, **options: Any) -> Reranker:
    """A reranker on a backend that can be asked everything."""
    return Reranker(recipe, backend=full_backend(asynchronous=asynchronous), **options)
