"""Keys and values already computed: fork them for many documents, join rows of different lengths, drop rows.

Every layer keeps everything (`DynamicCache()` without a config), also where a model attends through
a sliding window: the attention mask does the windowing, so a prefix longer than the window is right.
Nothing here changes a tensor that somebody else holds: `DynamicLayer.update` concatenates, and a layer that
grows in place writes only behind what others can see of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from limrank_plugins.backends.local.growing_layer import growing, without_room
from limrank_plugins.errors import require


class KeysAndValues:
    """The keys and values of some rows, rows of different lengths padded on the left.

    Padding stands before everything, so distances between tokens, and windows over them, stay right.

    Args:
        cache: a `transformers.DynamicCache`, or None for an empty one of one row.
        lengths: tokens of each row, padding not counted.
    """

    def __init__(self, cache: Any = None, lengths: Sequence[int] = (0,)) -> None:
        if cache is None:
            cache = require("transformers", "transformers", "TransformersBackend").DynamicCache()
        self.cache = cache
        self.lengths = list(lengths)
        self.width = max(lengths)

    @property
    def pads(self) -> list[int]:
        """Columns of padding before each row."""
        return [self.width - length for length in self.lengths]

    def grow(self, lengths: Sequence[int]) -> None:
        """Note that the model has appended that many tokens (or right padding) to each row."""
        self.lengths = [old + new for old, new in zip(self.lengths, lengths, strict=True)]
        self.width += max(lengths)

    def make_room(self) -> None:
        """Tokens that are appended from now on are written behind the others, which are not copied for it."""
        self.cache.layers = [growing(layer) for layer in self.cache.layers]

    def forked(self, rows: int) -> KeysAndValues:
        """The first row, as the common beginning of `rows` rows. Costs no memory until it grows."""
        cache = self._each(lambda tensor: tensor[:1].expand(rows, *tensor.shape[1:]))
        return KeysAndValues(cache, [self.lengths[0]] * rows)

    def row(self, index: int, length: int) -> KeysAndValues:
        """One row's first `length` columns, for rows that are padded on the right."""
        return KeysAndValues(self._each(lambda tensor: tensor[index : index + 1, :, :length]), [length])

    def kept(self, rows: Sequence[int]) -> KeysAndValues:
        """Only these rows, without the columns that are padding in all of them."""
        lengths = [self.lengths[row] for row in rows]
        trim = self.width - max(lengths)
        index = require("torch", "transformers", "TransformersBackend").tensor(list(rows))
        cache = self._each(lambda t: t.index_select(0, index.to(t.device))[:, :, trim:])
        return KeysAndValues(cache, lengths)

    def _each(self, change: Callable[[Any], Any]) -> Any:
        return _like(self.cache, [[change(keys), change(values)] for keys, values in _filled(self.cache)])


def joined(parts: Sequence[KeysAndValues]) -> KeysAndValues:
    """The rows of all parts, padded on the left to the longest."""
    if len(parts) == 1:
        return parts[0]
    torch = require("torch", "transformers", "TransformersBackend")
    width = max(part.width for part in parts)
    layers = []
    for pairs in zip(*(_filled(part.cache) for part in parts), strict=True):
        padded = [
            [torch.nn.functional.pad(tensor, (0, 0, width - part.width, 0)) for tensor in pair]
            for part, pair in zip(parts, pairs, strict=True)
        ]
        layers.append([torch.cat(tensors) for tensors in zip(*padded, strict=True)])
    return KeysAndValues(_like(parts[0].cache, layers), [length for part in parts for length in part.lengths])


def _filled(cache: Any) -> list[tuple[Any, Any]]:
    # A layer that borrows another layer's keys (KV sharing) has none of its own.
    return [(layer.keys, layer.values) for layer in cache.layers if _has_keys(layer)]


def _has_keys(layer: Any) -> bool:
    return getattr(layer, "keys", None) is not None


def _like(cache: Any, tensors: list[list[Any]]) -> Any:
    """A cache of the same make that holds other tensors."""
    changed = copy.copy(cache)
    fresh = iter(tensors)
    changed.layers = [without_room(copy.copy(layer)) for layer in cache.layers]
    for layer in changed.layers:
        if _has_keys(layer):
            layer.keys, layer.values = next(fresh)
    return changed
