"""Roles as priced backends: what goes out, what comes back, what is counted when it goes wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Answer, Call, LoopbackServer, chat
from synth_roles import body_of, read, roles_of

from limrank_plugins import ScriptedBackend
from limrank_plugins.backends.protocols import Failed, Reply
from limrank_plugins.backends.remote.markers import marker_pattern
from limrank_plugins.errors import InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.store import Store
from limrank_synth.role_requests import RoleRequest, chat_prompt
from limrank_synth.roles import Roles, most_cost
from limrank_synth.settings import Role, SynthSettings

REQUEST = RoleRequest("judge", chat_prompt(("system", "s"), ("user", "u")), attempt=1, sample=2)


def settings_of(role: Role, **others: Any) -> SynthSettings:
    return SynthSettings({"writer": role}, **others)


def asked(settings: SynthSettings, folder: Path) -> tuple[Reply, dict[str, int]]:
    """The reply to the request, and the faults on the way."""
    with Store(folder / "ledger.sqlite") as store:
        ledger = Ledger(store)
        roles = Roles(settings, ledger, environment={})
        to = roles.addressed(REQUEST)
        (reply,) = asyncio.run(to.backend.generate([to.request]))  # type: ignore[attr-defined]
        roles.close()
        return reply, ledger.faults()


def test_what_goes_out_and_what_comes_back(tmp_path: Path):
    answer: Any = chat(None, "true", "length")
    answer["choices"][0]["message"]["reasoning_content"] = "thought\ud800"
    answer["usage"] = {"prompt_tokens": 3, "completion_tokens": 4}
    with LoopbackServer(lambda call: answer) as server:
        judge = Role(
            "m",
            temperature=0.2,
            top_p=0.9,
            max_tokens=77,
            price_in=1e6,
            price_out=2e6,
            base_url=server.url,
        )
        settings = SynthSettings({"writer": Role("w", base_url=server.url), "judge": judge}, seed=5)
        reply, faults = asked(settings, tmp_path)
        body = server.calls[0].body
    assert not isinstance(reply, Failed)
    assert (reply.text, reply.reasoning, reply.finish) == ("true", "thought\ufffd", "length")  # type: ignore[union-attr]
    assert (reply.usage.prompt_tokens, reply.usage.generated_tokens, reply.usage.cost) == (3, 4, 11.0)
    assert faults == {}
    assert body == body_of(REQUEST, settings)
    assert body["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.2, 0.9, 77)
    assert body["seed"] == 5 * 1_000_003 + 1009 + 2


def test_fields_of_a_servers_own_reach_it(tmp_path: Path):
    extra = {"chat_template_kwargs": {"enable_thinking": True}, "top_k": 20}
    with LoopbackServer(lambda call: chat(None, "true")) as server:
        reply, _ = asked(settings_of(Role("m", base_url=server.url, body=extra)), tmp_path)
        body = server.calls[0].body
    assert not isinstance(reply, Failed)
    assert {name: body[name] for name in extra} == extra


def test_a_model_that_refuses_the_usual_fields():
    role = Role(
        "o",
        max_tokens=9,
        budget="max_completion_tokens",
        without=["temperature", "top_p"],
        body={"reasoning_effort": "high"},
    )
    body = body_of(REQUEST, settings_of(role))
    assert set(body) == {"model", "messages", "max_completion_tokens", "seed", "reasoning_effort"}
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (9, "high")
    assert role.shaping != Role("o", max_tokens=9).shaping


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget", "tokens"),
        ("without", "temperature"),
        ("without", ["max_tokens"]),
        ("body", {"messages": []}),
        ("body", {"n": 4}),
        ("body", ["reasoning_effort"]),
        ("backend", "pigeon"),
    ],
)
def test_a_role_without_sense(field: str, value: Any):
    with pytest.raises(InputError, match=field):
        Role("m", **{field: value})


def test_a_local_model_has_no_address():
    with pytest.raises(InputError, match="base_url of model 'm': only a served model"):
        Role("m", backend="transformers", base_url="http://localhost/v1")


@given(
    st.lists(st.sampled_from(["<|im_end|>", "<s>", "</think>", "<", "|", "s>", "think>", " ", "a", "[INST]"]))
)
def test_no_text_can_end_its_message(parts: list[str]):
    text = "".join(parts)
    priced = settings_of(Role("m", price_in=1e6, max_tokens=1))
    request = RoleRequest("judge", chat_prompt(("user", text)))
    (message,) = body_of(request, priced)["messages"] or [{"content": ""}]
    assert marker_pattern().search(message["content"]) is None
    assert message["content"].replace(" ", "") == text.replace(" ", "")
    assert priced.role("judge").price.cost(len(message["content"]) + 8, 0) <= most_cost(request, priced)


@given(st.lists(st.text(max_size=50), max_size=4), st.integers(0, 50))
def test_the_bound_is_above_every_count_of_tokens(texts: list[str], written: int):
    priced = settings_of(Role("m", price_in=1e6, price_out=1e6, max_tokens=50))
    request = RoleRequest("writer", chat_prompt(*(("user", text) for text in texts)))
    # A byte-level tokenizer at its worst: a token for every byte, and five for a message's frame.
    tokens = sum(len(text.encode("utf-8")) + 5 for text in texts) + 3
    assert priced.role("writer").price.cost(tokens, written) <= most_cost(request, priced)


def test_seeds_differ_by_attempt_and_sample():
    seeds = [
        body_of(dataclasses.replace(REQUEST, attempt=attempt, sample=sample), settings)["seed"]
        for settings in (settings_of(Role("m"), seed=seed) for seed in range(3))
        for attempt in range(5)
        for sample in range(9)
    ]
    assert len(set(seeds)) == len(seeds)


def keys(settings: SynthSettings, request: RoleRequest = REQUEST) -> bytes:
    with roles_of(settings, offline=True) as roles:
        return roles.addressed(request).key


def test_what_a_reply_is_stored_under():
    role, same = Role("m"), settings_of(Role("m"))
    known = keys(same)
    for change in ({"price_in": 3.0}, {"base_url": "http://host/v1"}, {"api_key_env": "OTHER"}):
        assert keys(settings_of(dataclasses.replace(role, **change))) == known
    others = [
        {"model": "n"},
        {"temperature": 0.1},
        {"top_p": 0.5},
        {"max_tokens": 7},
        {"body": {"top_k": 3}},
        {"without": ["seed"]},
    ]
    found = {keys(settings_of(dataclasses.replace(role, **change))) for change in others}  # type: ignore[arg-type]
    found |= {
        keys(same, dataclasses.replace(REQUEST, **change))
        for change in (
            {"attempt": 2},
            {"sample": 0},
            {"role": "writer"},
            {"prompt": chat_prompt(("user", "v"))},
        )
    }
    found.add(keys(settings_of(role, seed=1)))
    assert len(found | {known}) == len(others) + 4 + 2
    # At temperature 0, too, an attempt that was of no use is asked again.
    greedy = settings_of(dataclasses.replace(role, temperature=0.0))
    assert keys(greedy) != keys(greedy, dataclasses.replace(REQUEST, attempt=2))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Answer({}, status=429, headers={"retry-after": "0"}), "HTTP 429"),
        (Answer({}, status=503, headers={"retry-after": "0"}), "HTTP 503"),
        (Answer({}, reset=True), "connection"),
    ],
)
def test_a_repaired_fault_is_counted(fault: Answer, kind: str, tmp_path: Path):
    with LoopbackServer(lambda call: fault if call.number == 0 else chat(None, "true")) as server:
        reply, faults = asked(settings_of(Role("m", base_url=server.url)), tmp_path)
    assert not isinstance(reply, Failed)
    assert faults == {kind: 1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        ([1], "not a JSON object"),
        ({"choices": []}, "no choice"),
        ({"choices": [{"message": {"content": 3}}]}, "no text"),
    ],
)
def test_a_response_that_is_no_completion(body: Any, message: str, tmp_path: Path):
    with LoopbackServer(lambda call: Answer(body)) as server:
        reply, faults = asked(settings_of(Role("m", base_url=server.url)), tmp_path)
        assert server.served == 1
    assert isinstance(reply, Failed)
    assert message in reply.reason
    # Somebody wrote it: it may have been charged for.
    assert (reply.charged, faults) == (True, {"answer": 1})


def test_a_response_that_does_not_come(tmp_path: Path):
    async def never(call: Call) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    with LoopbackServer(never) as server:
        reply, faults = asked(settings_of(Role("m", base_url=server.url), timeout=0.05), tmp_path)
    assert isinstance(reply, Failed)
    assert reply.charged
    assert faults == {"timeout": 1}


def test_keys_of_servers():
    with pytest.raises(InputError, match="no API key for role 'writer'"):
        with roles_of(settings_of(Role("m")), environment={}):
            pass
    environment = {"OPENAI_API_KEY": "k", "THEIRS": ""}
    with pytest.raises(InputError, match="set THEIRS"):
        with roles_of(settings_of(Role("m", api_key_env="THEIRS")), environment=environment):
            pass
    with roles_of(settings_of(Role("m")), environment={"OPENAI_BASE_URL": "http://localhost:1/v1"}):
        pass
    with roles_of(settings_of(Role("m")), environment={}, offline=True):
        pass


def test_a_completion_without_anything_in_it():
    assert read(REQUEST, {"choices": [{"message": {"content": None}}]}).text == ""


def test_roles_that_one_local_model_plays_share_it(monkeypatch: pytest.MonkeyPatch):
    made: list[tuple[str, str, Any]] = []

    def named(name: str, model: str, options: Any) -> ScriptedBackend:
        made.append((name, model, options))
        return ScriptedBackend(generate=lambda prompt: "x")

    monkeypatch.setattr("limrank_synth.roles.named_backend", named)
    writer = Role("folder", backend="transformers", options={"dtype": "float32"})
    judge = dataclasses.replace(writer, temperature=0.0)
    with roles_of(SynthSettings({"writer": writer, "judge": judge})) as roles:
        assert made == [("transformers", "folder", {"dtype": "float32"})]
        assert roles.backend("judge").backend is roles.backend("writer").backend
    assert json.loads(writer.shaping)[0] == "transformers"
