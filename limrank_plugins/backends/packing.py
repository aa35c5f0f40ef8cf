"""Replies as bytes for the store, and back."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from limrank_plugins.backends.protocols import (
    Attend,
    Attended,
    Embedded,
    Encode,
    Generate,
    Generated,
    LabelReading,
    Numbers,
    ReadLabels,
    Reply,
    Request,
    Window,
)
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError

_decoded = json.JSONDecoder().raw_decode
_STORED = Usage(cached=1)
_CUT = struct.Struct("<Qqxx")
"""Behind the vector of a text that was cut: how many of its tokens were not read, and an unused number.

A length that is no multiple of four tells it from the numbers alone. Earlier versions wrote nine bytes, the
tokens alone, or nothing of a text that was cut.
"""
_WINDOWS = struct.Struct("<QHx")
"""Behind the vectors of a text's windows and their places: tokens in none of them, and how many there are."""


def pack_reply(reply: Reply) -> bytes:
    """A reply as bytes for the store. `Failed` is never stored."""
    if isinstance(reply, Embedded):
        return _packed(reply)
    if isinstance(reply, Attended):
        lengths = [[len(row) for row in rows] for rows in reply.weights]
        head = json.dumps({"lengths": lengths, "cut": reply.cut_tokens}).encode("ascii")
        rows = [row.astype("<f4", copy=False) for rows in reply.weights for row in rows]
        return head + b"\n" + b"".join(row.tobytes() for row in rows)
    if isinstance(reply, Numbers):
        body: dict[str, Any] = {"values": reply.values, "cut": reply.cut_tokens}
    elif isinstance(reply, LabelReading):
        body = {"logits": reply.logits, "cut": reply.cut_tokens}
        if reply.probability is not None:
            body["probability"] = reply.probability
    elif isinstance(reply, Generated):
        body = {"text": reply.text, "finish": reply.finish, "cut": reply.cut_tokens}
        reading = reply.reading
        body["logits"] = reading.logits if reading is not None else None
        body["reading_cut"] = reading.cut_tokens if reading is not None else 0
        if reply.reasoning:
            body["reasoning"] = reply.reasoning
    else:
        raise InputError(f"a {type(reply).__name__} reply cannot be stored")
    return json.dumps(body, ensure_ascii=True).encode("ascii")


def unpack_reply(request: Request, packed: bytes) -> Reply | None:
    """The stored reply to this request, marked as `cached` in its usage.

    None for one that an earlier version stored without saying where its text was cut.
    """
    usage = _STORED
    if isinstance(request, Encode):
        return _embedded(packed, usage)
    if isinstance(request, Attend):
        return _attended(packed, usage)
    text = packed.decode("ascii")
    body, end = _decoded(text)  # `loads` looks for white space first, and for the encoding of bytes
    if end != len(text):
        raise ValueError("there is something behind the reply")
    if isinstance(request, ReadLabels):
        return LabelReading(tuple(body["logits"]), usage, body["cut"], body.get("probability"))
    if isinstance(request, Generate):
        reading = None
        if body["logits"] is not None:
            # Entries of version 0.1.0 have the text's alone, which every backend gives the reading, too.
            reading = LabelReading(tuple(body["logits"]), cut_tokens=body.get("reading_cut", body["cut"]))
        reasoning = body.get("reasoning", "")
        return Generated(body["text"], body["finish"], reading, usage, body["cut"], reasoning)
    return Numbers(tuple(body["values"]), usage, body["cut"])


def _packed(reply: Embedded) -> bytes:
    if reply.windows:
        vectors = [window.vector.astype("<f4", copy=False).tobytes() for window in reply.windows]
        places = np.asarray([(window.start, window.end) for window in reply.windows], dtype="<u8")
        return b"".join(vectors) + places.tobytes() + _WINDOWS.pack(reply.cut_tokens, len(reply.windows))
    packed = reply.vector.astype("<f4", copy=False).tobytes()
    return packed + _CUT.pack(reply.cut_tokens, -1) if reply.cut_tokens else packed


def _embedded(packed: bytes, usage: Usage) -> Embedded | None:
    behind = len(packed) % 4
    if behind == 0:
        return Embedded(_floats(packed), usage)
    if behind == _CUT.size % 4:
        cut, _ = _CUT.unpack(packed[-_CUT.size :])
        return Embedded(_floats(packed[: -_CUT.size]), usage, cut)
    if behind != _WINDOWS.size % 4:
        return None
    cut, count = _WINDOWS.unpack(packed[-_WINDOWS.size :])
    size = len(packed) - _WINDOWS.size - 16 * count
    vectors = _floats(packed[:size]).reshape(count, -1)
    places = np.frombuffer(packed, dtype="<u8", count=2 * count, offset=size).reshape(count, 2).tolist()
    windows = tuple(Window(vector, *place) for vector, place in zip(vectors, places, strict=True))
    return Embedded(vectors[0], usage, cut, windows)


def _floats(packed: bytes) -> np.ndarray:
    return np.frombuffer(packed, dtype="<f4").astype(np.float32)


def _attended(packed: bytes, usage: Usage) -> Attended:
    head, _, values = packed.partition(b"\n")
    body = json.loads(head)
    flat = np.frombuffer(values, dtype="<f4").astype(np.float32)
    weights, at = [], 0
    for lengths in body["lengths"]:
        rows = []
        for length in lengths:
            rows.append(flat[at : at + length])
            at += length
        weights.append(tuple(rows))
    return Attended(tuple(weights), usage, body["cut"])
