"""Replies of a model as the synthesizer's stages receive them."""

from __future__ import annotations

from typing import Any

from limrank_plugins.backends.protocols import Generated


def reply(text: str, *, reasoning: str = "", finish: str = "end", **others: Any) -> Generated:
    """A completion, with what the model wrote before it where a server returns the two apart."""
    return Generated(text, finish, reasoning=reasoning, **others)
