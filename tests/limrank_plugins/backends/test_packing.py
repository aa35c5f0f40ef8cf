"""What is stored comes back as it was."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from limrank_plugins.backends.packing import pack_reply, unpack_reply
from limrank_plugins.backends.protocols import (
    Attend,
    Attended,
    Classify,
    Embedded,
    Encode,
    Failed,
    Generate,
    Generated,
    LabelReading,
    Likelihood,
    Numbers,
    ReadLabels,
    Request,
    ScorePair,
    Window,
)
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment

ONE, TWO = Image(b"GIF89a1"), Image(b"GIF89a2")
PROMPT = Prompt((Segment("Is it? ", shared=True), Segment("a passage", trusted=False, cuttable=True)))
CACHED = Usage(cached=1)
number = st.floats(allow_nan=False)
singles = st.floats(width=32, allow_nan=False)
numbers = st.lists(number, min_size=1, max_size=5).map(tuple)
vectors = arrays.arrays(np.float32, st.integers(0, 6), elements=st.floats(width=32, allow_nan=False))


def through(request: Request, reply: Any) -> Any:
    return unpack_reply(request, pack_reply(reply))


@given(numbers, st.integers(0, 99), st.none() | st.floats(0, 1))
def test_label_readings(logits: tuple[float, ...], cut: int, probability: float | None):
    reply = LabelReading(logits, Usage(calls=1, prompt_tokens=9), cut, probability)
    assert through(ReadLabels(PROMPT, ("a",)), reply) == replace(reply, usage=CACHED)


@given(st.text(), st.sampled_from(["stop", "length", "end"]), st.none() | numbers, st.integers(0, 9))
def test_texts(text: str, finish: str, logits: tuple[float, ...] | None, cut: int):
    reading = None if logits is None else LabelReading(logits, cut_tokens=cut + 1)
    reply = Generated(text + "\ud800", finish, reading, Usage(generated_tokens=3), cut)
    assert through(Generate(PROMPT, (), 5), reply) == replace(reply, usage=CACHED)


@given(numbers, st.integers(0, 99))
@pytest.mark.parametrize("request_", [ScorePair("q", "p"), Classify("t", ("l",)), Likelihood(PROMPT, "c")])
def test_numbers(request_: Request, values: tuple[float, ...], cut: int):
    assert through(request_, Numbers(values, cut_tokens=cut)) == Numbers(values, CACHED, cut)


@given(vectors, st.sampled_from([0, 1, 255, 1 << 40]))
def test_vectors(vector: np.ndarray, cut: int):
    for given_vector in (vector, vector.astype(">f4"), vector[::-1][::-1]):
        back = through(Encode("t"), Embedded(given_vector, Usage(calls=1), cut))
        assert (back.usage, back.cut_tokens, back.windows) == (CACHED, cut, ())
        assert back.vector.dtype == np.float32
        np.testing.assert_array_equal(back.vector, vector)


@given(
    st.integers(1, 5).flatmap(
        lambda size: st.lists(st.lists(singles, min_size=size, max_size=size), min_size=2)
    ),
    st.sampled_from([0, 1, 1 << 40]),
    st.integers(0, 1 << 40),
)
def test_windows(rows: list[list[float]], cut: int, start: int):
    windows = tuple(
        Window(np.asarray(row, dtype=np.float32), start + 7 * i, start + 7 * i + 9)
        for i, row in enumerate(rows)
    )
    back = through(Encode("t", windows=9), Embedded(windows[0].vector, Usage(calls=1), cut, windows))
    assert (back.usage, back.cut_tokens) == (CACHED, cut)
    assert [(w.vector.tolist(), w.start, w.end) for w in back.windows] == [
        (w.vector.tolist(), w.start, w.end) for w in windows
    ]
    np.testing.assert_array_equal(back.vector, windows[0].vector)


def test_vectors_that_version_0_1_0_stored_are_read():
    stored = np.asarray([1.5, -2.0, 0.25], dtype="<f4").tobytes()
    reply = unpack_reply(Encode("t"), stored)
    assert isinstance(reply, Embedded)
    assert (reply.vector.tolist(), reply.cut_tokens) == ([1.5, -2.0, 0.25], 0)
    assert pack_reply(reply) == stored


@given(vectors, st.integers(1, 1 << 40))
def test_a_vector_that_was_stored_without_where_its_text_was_cut_is_asked_for_again(
    vector: np.ndarray, cut: int
):
    assert unpack_reply(Encode("t"), vector.tobytes() + struct.pack("<Qx", cut)) is None


@given(st.lists(st.lists(vectors, max_size=3).map(tuple), max_size=3).map(tuple), st.integers(0, 9))
@settings(max_examples=50)
def test_attention(weights: tuple[tuple[np.ndarray, ...], ...], cut: int):
    back = through(Attend((PROMPT,)), Attended(weights, cut_tokens=cut))
    assert (back.usage, back.cut_tokens) == (CACHED, cut)
    assert [len(rows) for rows in back.weights] == [len(rows) for rows in weights]
    for rows, expected in zip(back.weights, weights, strict=True):
        for row, values in zip(rows, expected, strict=True):
            assert row.dtype == np.float32
            np.testing.assert_array_equal(row, values)


def test_a_failure_is_never_stored():
    with pytest.raises(InputError, match="Failed"):
        pack_reply(Failed("out"))


def test_an_entry_of_the_first_version_is_read():
    old = b'{"text": "t", "finish": "stop", "cut": 3, "logits": [1.0, 2.0]}'
    back = unpack_reply(Generate(PROMPT, (), 5), old)
    assert back == Generated("t", "stop", LabelReading((1.0, 2.0), cut_tokens=3), CACHED, 3)
