"""What a GGUF file says about itself, read in a moment; a file that holds no language model is refused.

`gguf.GGUFReader` takes seconds for the same, as it makes arrays of every token. Layout: docs/gguf.md of
https://github.com/ggml-org/ggml.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, InputError, require

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# Codes of the metadata's types, as `struct` writes them; 8 is a text and 9 an array.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_PART = re.compile(r"-\d{5}-of-(\d{5})$")
_OTHER_KINDS = {
    "mmproj": "the vision projector of a model: give the file of the language model beside it",
    "adapter": "a LoRA adapter: give the file of its base model, and the adapter as a PEFT folder",
    "vocab": "a vocabulary without weights: give the file with the model's weights",
    "imatrix": "an importance matrix without weights: give the file with the model's weights",
}


@dataclass(frozen=True)
class GGUFTensor:
    """A tensor of the file: its numbers, slowest dimension first, their type and their place."""

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class GGUFHeader:
    """Metadata and tensors of a GGUF file. Of a list in the metadata only its length is kept."""

    metadata: dict[str, Any]
    tensors: dict[str, GGUFTensor]

    @property
    def architecture(self) -> str:
        """As llama.cpp names it, such as `"llama"` or `"qwen2"`."""
        return str(self.metadata.get("general.architecture", ""))


def read_header(file: Path) -> GGUFHeader:
    """The header of a GGUF file with a whole language model and its tokenizer.

    Raises:
        InputError: it is no GGUF file.
        BackendError: it is damaged, one part of several, or holds something else than a language model.
        MissingExtra: the package `gguf` is not installed.
    """
    sizes = require("gguf", "gguf", f"{file.name}").GGML_QUANT_SIZES
    with file.open("rb") as stream:
        if stream.read(4) != MAGIC:
            raise InputError(
                f"{file} is no GGUF file: it does not begin with 'GGUF'; download it again, or give a "
                f"folder that save_pretrained wrote"
            )
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as held:
            reader = _Reader(held)
            try:
                header, end = reader.header({int(kind): size for kind, size in sizes.items()})
            except (
                struct.error,
                IndexError,
                UnicodeDecodeError,
                MemoryError,
                OverflowError,
                RecursionError,
            ) as error:
                raise BackendError(_cut_off(file)) from error
            except ValueError as error:
                raise BackendError(f"{file} cannot be read: {error}") from error
            _check_whole(file, header)
            if end > len(held):
                raise BackendError(_cut_off(file, f"{len(held):,} of at least {end:,} bytes are there"))
    _check_language_model(file, header)
    return header


def _cut_off(file: Path, how: str = "its header ends early") -> str:
    return f"{file} is damaged or was cut off: {how}; download it again"


def _check_whole(file: Path, header: GGUFHeader) -> None:
    named = _PART.search(file.stem)
    parts = int(named[1]) if named else int(header.metadata.get("split.count", 1))
    if parts > 1:
        raise BackendError(
            f"{file} is one of {parts} parts of a model: join them with llama.cpp's "
            f"'llama-gguf-split --merge FIRST-PART WHOLE.gguf' and give the whole file"
        )


def _check_language_model(file: Path, header: GGUFHeader) -> None:
    kind = str(header.metadata.get("general.type", "model"))
    if header.architecture == "clip":
        kind = "mmproj"
    if kind in _OTHER_KINDS:
        raise BackendError(f"{file} holds {_OTHER_KINDS[kind]}")
    if not header.architecture or not header.tensors:
        raise BackendError(f"{file} holds no language model: give a file with a model's weights")
    if not header.metadata.get("tokenizer.ggml.tokens"):
        raise BackendError(
            f"{file} has no tokenizer inside: give a GGUF file that has one, or the folder that "
            f"save_pretrained wrote"
        )


class _Reader:
    """Reads a file from its beginning to the end of its header."""

    def __init__(self, held: mmap.mmap) -> None:
        self._held, self._place = held, 4

    def header(self, sizes: dict[int, tuple[int, int]]) -> tuple[GGUFHeader, int]:
        """The header, and how many bytes the file must have.

        Args:
            sizes: of each type of tensor, the numbers in a block and its bytes.
        """
        version, tensors, entries = self._numbers("IQQ")
        if version not in _VERSIONS:
            raise ValueError(f"it is of GGUF version {version}, and only 2 and 3 are known: convert it again")
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = self._text()
            (kind,) = self._numbers("I")
            metadata[key] = self._value(kind)
        table = [self._tensor() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its general.alignment is {alignment!r}, and must be a number of bytes")
        data = (self._place + alignment - 1) // alignment * alignment
        found, end = {}, self._place
        for name, shape, kind, offset in table:
            if kind not in sizes:
                raise ValueError(f"tensor {name!r} has an unknown type ({kind}): pip install --upgrade gguf")
            numbers, size = sizes[kind]
            count = 1
            for length in shape:
                count *= length
            found[name] = GGUFTensor(shape, kind, data + offset)
            end = max(end, data + offset + count // numbers * size)
        return GGUFHeader(metadata, found), end

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text()
        (dimensions,) = self._numbers("I")
        shape = tuple(reversed(self._numbers(f"{dimensions}Q")))
        kind, offset = self._numbers("IQ")
        return name, shape, kind, offset

    def _numbers(self, layout: str) -> tuple[Any, ...]:
        numbers = struct.unpack_from(f"<{layout}", self._held, self._place)
        self._place += struct.calcsize(f"<{layout}")
        return numbers

    def _text(self) -> str:
        (length,) = self._numbers("Q")
        raw = self._held[self._place : self._place + length]
        if len(raw) != length:
            raise IndexError("the text ends behind the file")
        self._place += length
        return raw.decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._numbers(_NUMBERS[kind])[0]
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY:
            raise ValueError(f"its metadata hold a value of an unknown type ({kind})")
        element, count = self._numbers("IQ")
        if element in _NUMBERS:
            self._place += count * struct.calcsize(f"<{_NUMBERS[element]}")
            if self._place > len(self._held):
                raise IndexError("the list ends behind the file")
        else:
            for _ in range(count):
                self._value(element)
        return count
