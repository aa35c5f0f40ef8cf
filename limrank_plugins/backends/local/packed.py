"""Many tails behind one prefix as a single row: each attends to the prefix and itself, and nothing is padded.

On a CPU a pass over few tokens spends a part of its time on reading the weights. A row of many tails reads
them once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from limrank_plugins.errors import BackendError, require

_NAME = "limrank_packed"
_lengths: ContextVar[Sequence[int]] = ContextVar("limrank_packed_lengths")


@contextmanager
def switched(decoder: Any, name: str) -> Iterator[None]:
    """Another attention for a while; what was set is put back.

    Raises:
        BackendError: the model cannot switch its attention.
    """
    usual = decoder.config._attn_implementation
    if usual == name:
        yield
        return
    try:
        decoder.set_attn_implementation(name)
        if decoder.config._attn_implementation != name:
            raise BackendError(
                f"{type(decoder).__name__} cannot switch its attention: load it with "
                f"attn_implementation={name!r}"
            )
        yield
    finally:
        decoder.set_attn_implementation(usual)


@contextmanager
def packing(decoder: Any, lengths: Sequence[int]) -> Iterator[None]:
    """A row that is computed inside the block holds tails of these lengths, behind what the cache holds."""
    transformers = require("transformers", "transformers", "TransformersBackend")
    transformers.AttentionInterface.register(_NAME, _attention)
    token = _lengths.set(lengths)
    try:
        with switched(decoder, _NAME):
            yield
    finally:
        _lengths.reset(token)


def can_pack(config: Any) -> bool:
    """Whether every layer sees all that is before a token, and sees it alike wherever it stands in a row."""
    layers = getattr(config, "layer_types", None) or ()
    windowed = getattr(config, "sliding_window", None) or any(layer != "full_attention" for layer in layers)
    return config._attn_implementation == "sdpa" and not windowed and not _rotates_by_length(config)


def _rotates_by_length(config: Any) -> bool:
    """Whether positions are rotated otherwise in long rows than in short ones (LongRoPE, dynamic NTK)."""
    values = config.to_dict()
    settings = values.get("rope_parameters") or values.get("rope_scaling") or {}
    by_layer = [value for value in settings.values() if isinstance(value, dict)]
    kinds = {part.get("rope_type", part.get("type")) for part in (settings, *by_layer)}
    return not kinds.isdisjoint({"longrope", "dynamic"})


def _attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    _mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_other: Any,
) -> tuple[Any, None]:
    """Attention of one row (1, heads, tokens, size), tail by tail."""
    torch = require("torch", "transformers", "TransformersBackend")
    head = key.shape[2] - query.shape[2]
    parts = []
    start = 0
    for length in _lengths.get():
        own = slice(head + start, head + start + length)
        keys, values = key[:, :, own], value[:, :, own]
        mask = None
        if head:
            keys, values = (
                torch.cat((known[:, :, :head], tail), dim=2) for known, tail in ((key, keys), (value, values))
            )
            mask = torch.ones(length, head + length, dtype=torch.bool, device=key.device).tril(head)
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[:, :, start : start + length],
                keys,
                values,
                attn_mask=mask,
                dropout_p=dropout,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=key.shape[1] != query.shape[1],
            )
        )
        start += length
    return torch.cat(parts, dim=2).transpose(1, 2), None
