"""Which encoding a text file is in: UTF-8, what its byte-order mark says, or what a detector finds."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.pipes import is_pipe, opened

UTF_8 = "utf-8"
_MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK, _SAMPLE = 1 << 20, 1 << 16
# What files of today are in; of all that the detector knows, DOS and Mac code pages often win.
_CANDIDATES = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "koi8_r",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
_WESTERN = "cp1252"
_CLOSE = 0.05  # of the detector's two numbers, mess and coherence; most files that are not UTF-8 are Western


def has_detector() -> bool:
    """Whether files without a mark that are not UTF-8 can be read."""
    return find_spec("charset_normalizer") is not None


def is_guess(encoding: str) -> bool:
    """Whether an encoding is what the detector found, rather than UTF-8 or what a file says of itself."""
    return encoding not in (UTF_8, *(name for _, name in _MARKS))


def text_encoding(path: str | os.PathLike[str]) -> str:
    """The name of a text file's encoding, as Python knows it.

    It is UTF-8 for a pipe, which cannot be read twice, and for a file of UTF-8 that has some wrong bytes.

    Raises:
        InputError: the file cannot be read, or it is in another encoding and none can be named.
    """
    path = Path(path)
    if is_pipe(path):
        return UTF_8
    try:
        with opened(path) as stream:
            sample = _outside_utf_8(stream)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return UTF_8  # who reads it says what is wrong
    if isinstance(sample, str):
        return sample
    if _is_damaged_utf_8(sample):
        return UTF_8
    return _detected(path, sample)


def _outside_utf_8(stream: Any) -> bytes | str:
    """The encoding where it is plain, else some of the text that is not UTF-8, in whole lines."""
    decoder = codecs.getincrementaldecoder(UTF_8)()
    block = stream.read(_BLOCK)
    for mark, name in _MARKS:
        if block.startswith(mark):
            return name
    before, is_end = b"", False
    while not is_end:
        is_end = not block
        try:
            decoder.decode(block, final=is_end)
        except UnicodeDecodeError as error:
            text = before + block
            wrong = len(text) - len(error.object) + error.start
            place = text.rfind(b"\n", 0, max(0, wrong - _SAMPLE // 2)) + 1
            sample: bytes = text[place : max(place + _SAMPLE, wrong + _SAMPLE // 2)]
            return sample if len(text) <= place + len(sample) else sample[: sample.rfind(b"\n") + 1] or sample
        if block:
            before, block = block, stream.read(_BLOCK)
    return UTF_8


def _is_damaged_utf_8(sample: bytes) -> bool:
    text = sample.decode(UTF_8, "replace")
    wrong = text.count("\ufffd")
    return sum(character > "\x7f" for character in text) - wrong >= wrong


def _detected(path: Path, sample: bytes) -> str:
    if not has_detector():
        raise InputError(
            f"{path} is not UTF-8: pip install 'limrank[files]' reads other encodings; or write it as UTF-8"
        )
    if b"\0" in sample:
        raise InputError(f"{path} is no text, whatever its name says: it holds NUL bytes")
    from charset_normalizer import from_bytes

    matches = list(from_bytes(sample, cp_isolation=_CANDIDATES))
    if not matches:
        raise InputError(f"{path} is in no encoding that can be told: write it as UTF-8")
    first = matches[0]
    for match in matches:
        is_close = match.chaos <= first.chaos + _CLOSE and match.coherence >= first.coherence - _CLOSE
        if is_close and _WESTERN in match.could_be_from_charset:
            return _WESTERN
    return str(first.encoding)
