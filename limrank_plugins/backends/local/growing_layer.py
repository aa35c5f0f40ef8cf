"""A cache layer with room behind its keys and values: a step writes there instead of copying all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from limrank_plugins.errors import require

ROOM = 64
"""Columns made room for at a time: so often are keys and values copied."""


def growing(layer: Any) -> Any:
    """The layer as one that grows in place; whatever is no plain `DynamicLayer` stays as it is."""
    plain, roomy = _kinds()
    if type(layer) is not plain or layer.keys is None:
        return layer
    grown = roomy()
    vars(grown).update(vars(layer))
    return grown


def without_room(layer: Any) -> Any:
    """The layer, a copy of another: it may hold that one's tensors, but grows on its own."""
    vars(layer).pop("room", None)
    return layer


@cache
def _kinds() -> tuple[Any, Any]:
    plain = require("transformers.cache_utils", "transformers", "TransformersBackend").DynamicLayer
    return plain, type("GrowingLayer", (plain,), {"room": (), "update": _update})


def _update(layer: Any, keys: Any, values: Any, *_args: Any, **_named: Any) -> tuple[Any, Any]:
    """Append to what the layer holds; `transformers` calls it for each pass."""
    start = layer.keys.shape[2]
    end = start + keys.shape[2]
    if not layer.room or end > layer.room[0].shape[2]:
        layer.room = tuple(_with_room(tensor, end + ROOM) for tensor in (layer.keys, layer.values))
    for buffer, states in zip(layer.room, (keys, values), strict=True):
        buffer[:, :, start:end] = states
    layer.keys, layer.values = (buffer[:, :, :end] for buffer in layer.room)
    return layer.keys, layer.values


def _with_room(tensor: Any, columns: int) -> Any:
    rows, heads, width, size = tensor.shape
    buffer = tensor.new_empty(rows, heads, columns, size)
    buffer[:, :, :width] = tensor
    return buffer
