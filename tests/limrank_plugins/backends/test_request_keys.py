"""No two different questions share a key, and a key is the same in every version."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from itertools import combinations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.backends.protocols import (
    Attend,
    Classify,
    Encode,
    Forget,
    Generate,
    Likelihood,
    ReadLabels,
    Request,
    ScorePair,
)
from limrank_plugins.backends.request_keys import RequestKeys, request_key
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment

ONE, TWO = Image(b"GIF89a1"), Image(b"GIF89a2")
PROMPT = Prompt((Segment("Is it? ", shared=True), Segment("a passage", trusted=False, cuttable=True)))

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


def listed(prompt: Prompt) -> list[list[Any]]:
    return [
        [
            *(s.text, s.trusted, s.cuttable, s.role),
            *([] if s.image is None else [hashlib.sha256(s.image.data).hexdigest()]),
            *([] if s.most is None else [s.most]),
        ]
        for s in prompt.segments
    ]


def parts(request: Any) -> list[Any]:
    """What a request's key is the hash of, written down plainly: no store knows another key."""
    match request:
        case Encode():
            shown = [[hashlib.sha256(image.data).hexdigest() for image in request.images]]
            several = [{"windows": request.windows, "heading": request.heading}]
            return [
                *(request.role, request.text),
                *(shown if request.images else []),
                *(several if request.windows > 1 else []),
            ]
        case ScorePair():
            return [request.query, request.passage]
        case Classify():
            return [request.text, request.labels]
        case Likelihood():
            return [listed(request.prompt), request.continuation, *(["ends"] if request.ends else [])]
        case Attend():
            return [[listed(prompt) for prompt in request.prompts]]
        case ReadLabels():
            return [listed(request.prompt), request.labels]
    drawn: Any = [request.sample] if request.sample else None
    if request.temperature > 0:
        drawn = [request.top_p, request.seed, request.sample]
    how = [request.labels, request.stop, request.max_tokens, request.temperature, drawn]
    return [listed(request.prompt), *how]


def test_a_store_of_any_version_is_understood():
    every = [request for base in BASES for request in variants(base)]
    # Equal numbers of two kinds are two texts in JSON.
    every += [replace(DRAWN, **how) for how in ({"top_p": 1}, {"top_p": 1.0}, {"top_p": 1, "seed": True})]
    for identity in ("model", 'a "model" \N{SNOWMAN}\ud800'):
        keys = RequestKeys(identity)
        for request in [*every, *reversed(every)]:
            text = json.dumps([1, identity, request.method, *parts(request)], separators=(",", ":"))
            assert keys(request) == hashlib.sha256(text.encode()).digest(), request


def test_what_is_to_be_forgotten_has_no_key_of_its_own():
    with pytest.raises(TypeError, match="no key of its own"):
        request_key("model", Forget(DRAWN))


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
