"""Reading a GGUF file through `transformers` in an eighth of the time, without what it never looks at."""

from __future__ import annotations

import importlib
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from typing import Any

from limrank_plugins.errors import require

_LONG = 4096
_TEXT, _ARRAY = 8, 9
_LOCK = threading.Lock()


@contextmanager
def quick_gguf() -> Iterator[None]:
    """Inside, `transformers` reads configuration and weights of a GGUF file without its lists of tokens.

    Of SmolLM2-135M that takes 2 CPU-seconds instead of 16: the package `gguf` makes four arrays for every
    token each time a file is opened, and `transformers` parses them one by one, and asks it for one table of
    names for every module. The bar of dequantising, which listens to no switch, is left out, too.
    """
    gguf = require("gguf", "gguf", "a GGUF file")
    with _LOCK, ExitStack() as changed:
        changed.enter_context(_put(gguf, "GGUFReader", _quick_reader(gguf)))
        changed.enter_context(_put(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)))
        # A release that has no such module any more draws no such bar.
        with suppress(ImportError):
            legacy = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
            changed.enter_context(_put(legacy, "tqdm", partial(legacy.tqdm, disable=True)))
        with suppress(ImportError, AttributeError):
            legacy = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
            parse = _once_in_a_row(legacy._gguf_parse_value)
            changed.enter_context(_put(legacy, "_gguf_parse_value", parse))
        yield


@contextmanager
def _put(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _once_in_a_row(parse: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The function, not called again for the very part that it was called for last: a long list's is one."""
    part, value = None, None

    def parsed(given: Any, kinds: Any) -> Any:
        nonlocal part, value
        if given is not part:
            value = parse(given, kinds)
            part = given
        return value

    return parsed


@cache
def _quick_reader(gguf: Any) -> type[Any]:
    class QuickReader(gguf.GGUFReader):  # type: ignore[misc]
        """Knows of a long list only its length and its first entry."""

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if raw_type != _ARRAY:
                return super()._get_field_parts(orig_offs, raw_type)
            element, count = struct.unpack_from("<IQ", self.data, orig_offs)
            if count < _LONG or element == _ARRAY:
                return super()._get_field_parts(orig_offs, raw_type)
            start = orig_offs + 12
            size, parts, places, types = super()._get_field_parts(start, element)
            end = start + count * size
            if element == _TEXT:
                end = start
                for _ in range(count):
                    end += 8 + struct.unpack_from("<Q", self.data, end)[0]
            kinds = [gguf.GGUFValueType(raw_type), *types]
            return end - orig_offs, parts, [places[0]] * count, kinds

    return QuickReader
