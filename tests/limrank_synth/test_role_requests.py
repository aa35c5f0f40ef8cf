"""Questions, answers that can and cannot be read, and insisting on one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synth_replies import reply

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.data import Usage
from limrank_synth.role_requests import (
    RoleRequest,
    StageError,
    UnusableReply,
    chat_prompt,
    insist,
    json_object,
    plain_text,
    text_field,
)

WORDS = st.text(st.characters(), max_size=200)
ANSWERS = st.one_of(
    WORDS,
    st.builds(
        json.dumps, st.recursive(st.none() | st.booleans() | st.floats() | WORDS, st.lists, max_leaves=5)
    ),
    st.builds(json.dumps, st.dictionaries(st.sampled_from(["query", "passages", "x"]), WORDS)),
    st.text("{}[]\"',:\\` tfn0-", max_size=60),
)


def ask(attempt: int) -> RoleRequest:
    return RoleRequest("writer", chat_prompt(("user", "say it")), attempt)


def drive(
    program: Generator[list[RoleRequest], list[Generated], Any], texts: list[str]
) -> tuple[Any, list[int]]:
    attempts, requests = [], next(program)
    try:
        for text in texts:
            attempts.append(requests[0].attempt)
            requests = program.send([reply(text)])
    except StopIteration as finished:
        return finished.value, attempts
    raise AssertionError("it wants more answers")


def test_insisting_asks_again_and_counts_what_was_wrong():
    counts: Counter[str] = Counter()
    program = insist(ask, json_object, 5, counts)
    texts = ["", "I'm sorry, but no.", "{", '{"query": "x"}']
    assert drive(program, texts) == ({"query": "x"}, [0, 1, 2, 3])
    assert counts == {"empty": 1, "refused": 1, "malformed": 1}


def test_insisting_ends():
    with pytest.raises(StageError, match=r"the model wrote no answer \(asked 3 times\)"):
        drive(insist(ask, plain_text, 3), ["", " ", "\n"])
    with pytest.raises(StageError, match=r"the model wrote no answer$"):
        drive(insist(ask, plain_text, 1), [""])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"n": ' + "1" * 6000 + "}", "cannot be read: it holds a number of thousands of digits"),
        ('{"n": ' + "[" * 100_000 + "}", "cannot be read: it is nested too deeply"),
        ('{"n": }', "the answer is not JSON$"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(text: str, why: str):
    with pytest.raises(UnusableReply, match=why):
        json_object(reply(text))


@pytest.mark.parametrize(
    ("texts", "is_failure"),
    [(["{", "["], False), (["", "{"], True), (["{", "I'm sorry, but no."], True)],
)
def test_what_was_written_is_rejected_and_what_held_nothing_failed(texts: list[str], is_failure: bool):
    with pytest.raises(StageError) as found:
        drive(insist(ask, json_object, 2), texts)
    assert found.value.is_failure == is_failure


def test_what_an_earlier_run_got_and_held_nothing_is_no_attempt_of_this_one():
    def stored(text: str) -> Generated:
        return replace(reply(text), usage=Usage(cached=1))

    program = insist(ask, json_object, 2)
    attempts = [next(program)[0].attempt]
    for known in (stored(""), stored("I'm sorry, no."), stored("{")):
        attempts.append(program.send([known])[0].attempt)
    with pytest.raises(StopIteration) as found:
        program.send([reply('{"a": 1}')])
    assert (found.value.value, attempts) == ({"a": 1}, [0, 1, 2, 3])


@given(ANSWERS, st.sampled_from(["stop", "length", "tool_calls"]))
def test_any_answer_is_read_or_unusable(text: str, finish: str):
    for read in (plain_text, json_object, lambda answer: text_field(json_object(answer), "query")):
        found: object = None
        try:
            found = read(reply(text, finish=finish))
        except UnusableReply as unusable:
            kind, reason = unusable.kind, str(unusable)
        if found is None:
            assert reason
            assert kind in ("malformed", "refused", "empty", "cut")
        else:
            assert finish != "length"
            assert isinstance(found, str | dict)


@given(
    st.dictionaries(WORDS, WORDS | st.integers()),
    st.sampled_from(["{}", "```json\n{}\n```", "Here it is:\n{}", '<think>{{"a": 1}} or</think>\n{}']),
)
def test_an_object_is_found_whatever_stands_around_it(found: dict[str, Any], around: str):
    text = around.replace("{{", "{").replace("}}", "}") if "think" in around else around
    text = (
        text.removesuffix("{}") + json.dumps(found)
        if text.endswith("{}")
        else text.replace("{}", json.dumps(found))
    )
    if "```" not in json.dumps(found) and "think" not in json.dumps(found).lower():
        assert json_object(reply(text)) == found


@pytest.mark.parametrize(
    ("completion", "kind"),
    [
        (reply(""), "empty"),
        (reply(" \n\t"), "empty"),
        (reply("", reasoning="long", finish="length"), "cut"),
        (reply("half a sent", finish="length"), "cut"),
        (reply("I'm sorry, but I can't help with that."), "refused"),
        (reply("I can’t do this"), "refused"),
        (reply("As an AI, I have no opinion."), "refused"),
        (reply("<think>I can help</think> I cannot help with that."), "refused"),
        (reply("Sorry, no."), "refused"),
    ],
)
def test_what_is_wrong_with_a_text(completion: Generated, kind: str):
    with pytest.raises(UnusableReply) as found:
        plain_text(completion)
    assert found.value.kind == kind


def test_texts_that_only_look_like_refusals():
    for text in ("Sorrow is not enough.", "The clerk said: I cannot help with that.", "Iwontgo"):
        assert plain_text(reply(text)) == text


@pytest.mark.parametrize(
    "text", ["[1]", '{"a": 1', "no braces", "}{", "{'a': 1}", "{" * 5000, '{"a":' * 5000 + "1" + "}" * 5000]
)
def test_no_object(text: str):
    with pytest.raises(UnusableReply):
        json_object(reply(text))


@pytest.mark.parametrize("value", [None, "", "  ", 3, ["x"], {"x": "y"}, True])
def test_a_field_that_is_no_text(value: object):
    with pytest.raises(UnusableReply, match="field 'query'"):
        text_field({"query": value}, "query")


def test_half_a_surrogate_pair_does_not_get_in():
    text = text_field(json_object(reply('{"query": "a\\ud800b"}')), "query")
    assert text == "a\ufffdb"
    text.encode("utf-8")
