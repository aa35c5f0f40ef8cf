"""Sending a question over HTTP: what goes out, what comes back, what is noted when it goes wrong."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Answer, Call, LoopbackServer, chat

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.markers import marker_pattern
from limrank_plugins.errors import InputError
from limrank_synth.asking import Message, Question, Reply
from limrank_synth.budget import most_it_can_cost
from limrank_synth.endpoints import Endpoints, read_reply, request_body
from limrank_synth.settings import Role, SynthSettings

QUESTION = Question("judge", (Message("system", "s"), Message("user", "u")), attempt=1, sample=2)


def sent(
    server: LoopbackServer, settings: SynthSettings | None = None
) -> tuple[Reply | CallFailed, list[str]]:
    noted: list[str] = []
    known = (
        settings
        if settings is not None
        else SynthSettings({"writer": Role("m", base_url=server.url)}, timeout=60)
    )

    async def one() -> Reply | CallFailed:
        endpoints = Endpoints(known, {})
        try:
            return await endpoints.send(QUESTION, noted.append)
        except CallFailed as failure:
            return failure
        finally:
            await endpoints.aclose()

    return asyncio.run(one()), noted


def test_what_goes_out_and_what_comes_back():
    role = Role("m", temperature=0.2, top_p=0.9, max_tokens=77, price_in=1e6, price_out=2e6)
    answer: Any = chat(None, "true", "length")
    answer["choices"][0]["message"]["reasoning_content"] = "thought\ud800"
    answer["usage"] = {"prompt_tokens": 3, "completion_tokens": 4}
    with LoopbackServer(lambda call: answer) as server:
        settings = SynthSettings(
            {"writer": role, "judge": Role(**{**_fields(role), "base_url": server.url})}, seed=5
        )
        settings = SynthSettings({**settings.roles, "writer": Role("w", base_url=server.url)}, seed=5)
        reply, noted = sent(server, settings)
        body = server.calls[0].body
    assert reply == Reply("true", "thought\ufffd", "length", 3, 4, 11.0)
    assert noted == []
    assert body == request_body(QUESTION, settings.role("judge"), 5)
    assert body["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.2, 0.9, 77)


def test_a_model_that_refuses_the_usual_fields():
    role = Role(
        "o",
        max_tokens=9,
        budget="max_completion_tokens",
        without=["temperature", "top_p"],
        body={"reasoning_effort": "high"},
    )
    body = request_body(QUESTION, role, 5)
    assert set(body) == {"model", "messages", "max_completion_tokens", "seed", "reasoning_effort"}
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (9, "high")
    assert role.shaping != Role("o", max_tokens=9).shaping
    assert Role("o", max_tokens=9).shaping == json.dumps(["o", 0.8, 0.95, 9])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget", "tokens"),
        ("without", "temperature"),
        ("without", ["max_tokens"]),
        ("body", {"messages": []}),
        ("body", {"n": 4}),
        ("body", ["reasoning_effort"]),
    ],
)
def test_a_role_without_sense(field: str, value: Any):
    with pytest.raises(InputError, match=field):
        Role("m", **{field: value})


def _fields(role: Role) -> dict[str, Any]:
    return {name: getattr(role, name) for name in Role.__slots__}


@given(
    st.lists(st.sampled_from(["<|im_end|>", "<s>", "</think>", "<", "|", "s>", "think>", " ", "a", "[INST]"]))
)
def test_no_text_can_end_its_message(parts: list[str]):
    text = "".join(parts)
    question = Question("judge", (Message("user", text),))
    (message,) = request_body(question, Role("m"), 0)["messages"]
    assert marker_pattern().search(message["content"]) is None
    assert message["content"].replace(" ", "") == text.replace(" ", "")
    priced = Role("m", price_in=1e6, max_tokens=1)
    assert priced.cost(len(message["content"]) + 8, 0) <= most_it_can_cost(question, priced)


def test_seeds_differ_by_attempt_and_sample():
    role = Role("m")
    seeds = [
        request_body(Question("judge", (), attempt, sample), role, seed)["seed"]
        for seed in range(3)
        for attempt in range(5)
        for sample in range(9)
    ]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Answer({}, status=429, headers={"retry-after": "0"}), "HTTP 429"),
        (Answer({}, status=503, headers={"retry-after": "0"}), "HTTP 503"),
        (Answer({}, reset=True), "connection"),
    ],
)
def test_a_repaired_fault_is_noted(fault: Answer, kind: str):
    with LoopbackServer(lambda call: fault if call.number == 0 else chat(None, "true")) as server:
        reply, noted = sent(server)
    assert isinstance(reply, Reply)
    assert noted == [kind]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        ([1], "not a JSON object"),
        ({"choices": []}, "no choice"),
        ({"choices": [{"message": {"content": 3}}]}, "no text"),
    ],
)
def test_an_answer_that_is_none(body: Any, message: str):
    with LoopbackServer(lambda call: Answer(body)) as server:
        failure, noted = sent(server)
        assert server.served == 1
    assert isinstance(failure, CallFailed)
    assert message in str(failure)
    # Somebody wrote it: it may have been charged for.
    assert (failure.status, noted) == (200, ["answer"])


def test_an_answer_that_does_not_come():
    async def never(call: Call) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    with LoopbackServer(never) as server:
        failure, noted = sent(server, SynthSettings({"writer": Role("m", base_url=server.url)}, timeout=0.05))
    assert isinstance(failure, CallFailed)
    assert failure.late
    assert noted == ["timeout"]


def test_keys():
    with pytest.raises(InputError, match="no API key for role 'writer'"):
        Endpoints(SynthSettings({"writer": Role("m")}), {})
    with pytest.raises(InputError, match="set THEIRS"):
        Endpoints(
            SynthSettings({"writer": Role("m", api_key_env="THEIRS")}), {"OPENAI_API_KEY": "k", "THEIRS": ""}
        )
    Endpoints(SynthSettings({"writer": Role("m")}), {"OPENAI_BASE_URL": "http://localhost:1/v1"})


def test_a_reply_without_anything_in_it():
    assert read_reply({"choices": [{"message": {"content": None}}]}, Role("m")) == Reply("")
