"""What is stored comes back as it was, and no two different questions share a key."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import fields, replace
from itertools import combinations
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from limrank_plugins.backends.packing import pack_reply, request_key, unpack_reply
from limrank_plugins.backends.protocols import (
    Attend,
    Attended,
    Classify,
    Embedded,
    Encode,
    Failed,
    Forget,
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


# ---- replies ------------------------------------------------------------------------------------


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


def test_what_is_read_in_windows_is_another_question():
    asked = [
        Encode("t"),
        Encode("t", windows=2),
        Encode("t", windows=3),
        Encode("t", windows=3, heading=1),
        Encode("t", "query"),
    ]
    assert len({request_key("model", request) for request in asked}) == len(asked)
    plain = hashlib.sha256(b'[1,"model","encode","passage","t"]').digest()
    assert request_key("model", asked[0]) == plain, "what earlier versions stored is found"


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


# ---- keys ---------------------------------------------------------------------------------------

DRAWN = Generate(PROMPT, ("s",), 5, temperature=0.5)
BASES: list[Request] = [
    ReadLabels(PROMPT, ("a", "b")),
    DRAWN,
    Encode("text"),
    ScorePair("q", "p"),
    Classify("text", ("a", "b")),
    Likelihood(PROMPT, "text"),
    Attend((PROMPT,)),
]
OTHER_PROMPTS = [
    Prompt((Segment("Is it? a passage"),)),
    Prompt((Segment("Is it? ", role="user"), Segment("a passage", False, True, role="user"))),
    Prompt((Segment("Is it? "), Segment("a passage", trusted=True, cuttable=True))),
    Prompt((Segment("Is it? "), Segment("a passage", trusted=False, cuttable=False))),
    Prompt((Segment("Is it? "), Segment("", False, image=ONE), Segment("a passage", False, True))),
    Prompt((Segment("Is it? "), Segment("", False, image=TWO), Segment("a passage", False, True))),
    Prompt((Segment("Is it? "), Segment("a passage", False, True), Segment("", False, image=ONE))),
    Prompt((Segment("Is it? "), Segment("a passage", False, True), Segment(""))),
    Prompt((Segment("Is it? "), Segment("a passage", False, True, most=3))),
    Prompt((Segment("Is it? "), Segment("a passage", False, True, most=4))),
    Prompt(()),
]
CHANGES: dict[str, list[Any]] = {
    "prompt": OTHER_PROMPTS,
    "prompts": [(), (PROMPT, PROMPT), *[(prompt,) for prompt in OTHER_PROMPTS]],
    "labels": [(), ("a",), ("b", "a"), ("ab",), ("a", "b", "")],
    "stop": [(), ("s", "t"), ("st",), ("t", "s")],
    "max_tokens": [6],
    "temperature": [0.0, 0.7],
    "top_p": [0.9],
    "seed": [1, -1],
    "sample": [1, 2],
    "text": ["", "Text", "text ", "\ud800"],
    "role": ["query"],
    "images": [(ONE,), (TWO,), (ONE, TWO), (TWO, ONE)],
    "windows": [2, 16],
    "heading": [],  # of one window nothing stands before others; what it is beside several is tested above
    "query": ["p", ""],
    "passage": ["q", ""],
    "continuation": ["", "texts"],
    "ends": [True],
    "ordered": [],  # follows from the prompt
    "order": [],  # follows from the prompt; whether a model is held to it is the backend's identity
}


def variants(base: Request) -> list[Request]:
    changed = [base]
    for field in fields(base):
        changed += [replace(base, **{field.name: value}) for value in CHANGES[field.name]]
    return changed


def test_every_field_of_every_request_is_in_its_key():
    asked = set(get_args(Request)) - {Forget}  # which no backend is asked
    assert {type(base) for base in BASES} == asked, "a kind of request that is not tested"
    every = [request for base in BASES for request in variants(base)]
    # Labels are a tuple of nothing where nothing is read, so that some variants are the same request.
    different = list(dict.fromkeys(every))
    keys = [request_key("model", request) for request in different]
    assert all(len(key) == 32 for key in keys)
    for (a, one), (b, other) in combinations(zip(different, keys, strict=True), 2):
        assert one != other, (a, b)
    assert keys == [request_key("model", request) for request in different]
    assert set(keys).isdisjoint(request_key("another", request) for request in different)


def test_what_does_not_change_the_answer_is_in_no_key():
    def key(request: Request) -> bytes:
        return request_key("model", request)

    greedy = replace(DRAWN, temperature=0.0)
    for changes in ({"seed": 1}, {"top_p": 0.5}):
        assert key(replace(greedy, **changes)) == key(greedy), "greedy writing is not drawn"
    assert key(replace(greedy, sample=1)) != key(greedy), "whoever asks for another draw is answered anew"
    apart = Prompt(tuple(replace(segment, shared=False) for segment in PROMPT.segments))
    assert key(ReadLabels(apart, ("a",))) == key(ReadLabels(PROMPT, ("a",))), "sharing is only speed"
    twin = Image(bytes(bytearray(ONE.data)))
    assert key(Encode("t", images=(ONE,))) == key(Encode("t", images=(twin,)))


@given(st.text(), st.text(), st.text(), st.text())
def test_a_field_cannot_run_over_into_the_next(a: str, b: str, c: str, d: str):
    same = (a, b) == (c, d)
    assert (request_key("m", ScorePair(a, b)) == request_key("m", ScorePair(c, d))) == same
    assert (request_key(a, Encode(b)) == request_key(c, Encode(d))) == same
    assert (request_key("m", Classify("t", (a, b))) == request_key("m", Classify("t", (c, d)))) == same
