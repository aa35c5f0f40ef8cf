"""What a server refuses, sends away or never lets through: told once, for everything that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import math
import socket
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import Answer, Call, LoopbackServer, Waits, chat, completion, nobody_listening, toy

from limrank_plugins import Reranker
from limrank_plugins.backends.decisions import DecisionsBackend
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import Failed, Generate, Generated, LabelReading, ReadLabels
from limrank_plugins.backends.remote import client
from limrank_plugins.backends.remote.addresses import check_written, parse_address
from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.replies import choice_of, parse, text_of, tokens_of, usage_of, within
from limrank_plugins.backends.remote.servers import recognise
from limrank_plugins.backends.rerank_api import RerankAPIBackend
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.segments import Prompt, Segment

KEY = "sk-planted-5555555555"
LABELS = (" true", " false")


def backend(server: LoopbackServer, /, **options: Any) -> OpenAIBackend:
    return OpenAIBackend("m", **({"base_url": server.url, "api_key": KEY, "sleep": Waits()} | options))


def read(made: OpenAIBackend, *passages: str) -> list[Any]:
    return asyncio.run(made.read_labels([ReadLabels(Prompt((Segment(p),)), LABELS) for p in passages]))


def write(made: OpenAIBackend, **fields: Any) -> Any:
    request = Generate(Prompt((Segment("why"),)), **({"stop": ("</a>",), "max_tokens": 32} | fields))
    return asyncio.run(made.generate([request]))[0]


# ---- what cannot get better ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (429, {"message": "You exceeded it", "code": "insufficient_quota"}, "quota or the balance is spent"),
        (429, {"message": "no", "type": "billing_hard_limit_reached"}, "quota or the balance is spent"),
        (402, {"message": "Insufficient Balance"}, "quota or the balance is spent"),
        (
            400,
            {"message": "Your credit balance is too low to access the Anthropic API.", "type": "invalid"},
            r"Anthropic API; the quota or the balance is spent",
        ),
        (400, {"message": "Access denied.", "code": "Arrearage"}, "quota or the balance is spent"),
        (400, {"message": "no", "type": "budget_exceeded"}, "quota or the balance is spent"),
        (429, {"message": "Budget has been exceeded! Max budget: 0.5"}, "quota or the balance is spent"),
        (400, {"message": "ExceededBudget: User=u over budget."}, "quota or the balance is spent"),
        (400, {"message": "BudgetExceededError: spent"}, "quota or the balance is spent"),
        (403, {"message": "Your team has used all available credits."}, "quota or the balance is spent"),
        (404, {"message": "The model `m` does not exist.", "code": 404}, "check the model's name"),
        (400, {"message": "no such thing", "code": "model_not_found"}, "check the model's name"),
        (401, {"message": "no"}, "check the key"),
    ],
)
def test_what_cannot_get_better_is_asked_once_and_says_what_to_do(status: int, error: Any, advice: str):
    with LoopbackServer(lambda call: Answer({"error": error}, status)) as server:
        with pytest.raises(BackendError, match=f"HTTP {status}.*{advice}"):
            read(backend(server), "a")
        assert len(server.calls) == 1


def exhausted(message: str, *details: Any) -> Any:
    """What Google answers to too many calls, of a minute, a day or an account: a list."""
    error = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": list(details)}
    return [{"error": error}]


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30.5s"}
SPENT = "Resource has been exhausted (e.g. check quota)."
CURRENT = "You exceeded your current quota, please check your plan and billing details."


def quota(name: str) -> Any:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


@pytest.mark.parametrize(
    "body",
    [exhausted(SPENT), exhausted(CURRENT), exhausted(CURRENT, quota("GenerateRequestsPerDay-Free"), RETRY)],
    ids=["resource", "current", "day"],
)
def test_a_spent_quota_in_a_list_is_told_in_the_words_of_the_server(body: Any):
    with LoopbackServer(lambda call: Answer(body, 429)) as server:
        words = body[0]["error"]["message"][:20]
        with pytest.raises(BackendError, match=f"HTTP 429: {words}.*; the quota or the balance is spent"):
            read(backend(server), "a")
        assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("busy", "least"),
    [
        (Answer({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429), 0.5),
        (Answer({"error": {"message": "Rate limit: see your billing page"}}, 429, {"Retry-After": "7"}), 7),
        (Answer(exhausted(CURRENT, quota("GenerateRequestsPerMinute-Free"), RETRY), 429), 30.5),
        (Answer(exhausted(SPENT, RETRY), 429), 30.5),
        (Answer(exhausted("Resource exhausted. Please try again later."), 429), 0.5),
    ],
    ids=["openai", "header", "minute", "delay", "later"],
)
def test_too_many_requests_are_still_asked_again_when_the_server_says(busy: Answer, least: float):
    good = completion({" true": -0.1, " false": -2.4})
    waits = Waits()
    with LoopbackServer(lambda call: busy if call.number == 0 else good) as server:
        assert isinstance(read(backend(server, sleep=waits), "a")[0], LabelReading)
    (waited,) = waits.seconds
    assert least <= waited <= least * 2


@pytest.mark.parametrize("options", [{}, {"server": "vllm"}], ids=["auto", "named"])
def test_a_server_that_is_not_there_is_told_within_seconds(options: dict[str, str]):
    waits = Waits()
    with nobody_listening() as url:
        made = OpenAIBackend("m", base_url=f"{url}/v1", sleep=waits, **options)
        with pytest.raises(BackendError, match=r"no connection: .*asked 3 times.*correct base_url"):
            read(made, "a")
    assert sum(waits.seconds) <= 2
    assert len(waits.seconds) == 2


def test_a_server_that_goes_away_is_waited_for():
    good = completion({" true": -0.1, " false": -2.0})
    waits = Waits()
    with LoopbackServer(lambda call: good) as server:
        made = backend(server, sleep=waits)
        read(made, "a")
    with nobody_listening(server.port):
        failed = read(made, "b")[0]
        assert isinstance(failed, Failed)
        assert len(waits.seconds) == 5, "all of its retries, for it may be starting again"
        with pytest.raises(BackendError, match="no server can be reached"):
            read(made, "c")  # and then it counts as gone


# ---- fields -------------------------------------------------------------------------------------


def refuses(*names: str, status: int = 400, shape: str = "openai") -> Any:
    def script(call: Call) -> Any:
        for name in names:
            if name in call.body:
                said: Any = {"error": {"message": f"{name} is not supported", "param": name}}
                if shape == "pydantic":
                    said = {"detail": [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]}
                elif shape == "text":
                    said = {"error": f"Unsupported parameter: '{name}'"}
                return Answer(said, status)
        return completion({}, f"true {call.number}</a> more", "stop")

    return script


@pytest.mark.parametrize(
    ("shape", "status"), [("openai", 400), ("pydantic", 422), ("text", 400)], ids=["param", "loc", "text"]
)
def test_fields_a_model_refuses_are_left_out_from_then_on(shape: str, status: int):
    names = ("temperature", "top_p", "stop", "seed")
    with LoopbackServer(refuses(*names, shape=shape, status=status)) as server:
        made = backend(server, max_retries=0)
        with pytest.warns(UserWarning, match="refuses the field") as caught:
            reply = write(made, temperature=0.7)
        assert (reply.text, reply.finish) == ("true 4", "stop"), "the stop string is cut off here"
        assert len(caught) == 4
        assert all(any(f"{name!r}" in str(w.message) for w in caught) for name in names)
        asked = len(server.calls)
        assert isinstance(write(made, temperature=0.7), Generated)
        assert len(server.calls) == asked + 1, "they are known, and said once"


def test_the_number_of_tokens_goes_by_its_other_name():
    with LoopbackServer(refuses("max_tokens")) as server:
        with pytest.warns(UserWarning, match="max_completion_tokens is sent instead"):
            write(backend(server))
        assert server.calls[-1].body["max_completion_tokens"] == 32
    with LoopbackServer(refuses("max_tokens", "max_completion_tokens")) as server:
        with pytest.warns(UserWarning, match="sent instead"):
            assert isinstance(write(backend(server)), Failed), "never without a bound"
        assert len(server.calls) == 2


def test_labels_are_drawn_where_log_probabilities_are_refused():
    with LoopbackServer(refuses("logprobs", "temperature")) as server:
        made = backend(server, draws=3)
        with pytest.warns(UserWarning, match=r"refuses the field|3 sampled answers") as caught:
            assert isinstance(read(made, "a")[0], LabelReading)
        assert sum("3 sampled answers" in str(warning.message) for warning in caught) == 1
        asked = len(server.calls)
        read(made, "b")
        assert len(server.calls) == asked + 3, "no call for what is not given"


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 9000. This model's maximum context length is 4096 tokens",
        "messages with role 'tool' are not supported",
    ],
)
def test_other_complaints_fail_the_document(message: str):
    with LoopbackServer(lambda call: Answer({"error": {"message": message}}, 400)) as server:
        assert isinstance(write(backend(server)), Failed)
        assert len(server.calls) == 1


def test_a_field_the_user_asks_for_is_never_left_out():
    with LoopbackServer(refuses("temperature")) as server:
        reply = write(backend(server, body={"temperature": 0.3}))
        assert "temperature is not supported" in reply.reason


# ---- sick replies -------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["\ud83d", "token_id:" + "9" * 5000, "true", " true", -0.1]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["token", "logprob", "top_logprobs", "content", "id", "text", " true"]),
        inner,
        max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip
WHERE = [
    ("choices",), ("choices", 0), ("choices", 0, "index"), ("choices", 0, "finish_reason"),
    ("choices", 0, "message"), ("choices", 0, "message", "content"),
    ("choices", 0, "message", "reasoning"), ("choices", 0, "logprobs"),
    ("choices", 0, "logprobs", "content"), ("choices", 0, "logprobs", "content", 0),
    ("choices", 0, "logprobs", "content", 0, "token"), ("choices", 0, "logprobs", "content", 0, "logprob"),
    ("choices", 0, "logprobs", "content", 0, "top_logprobs"),
    ("choices", 0, "logprobs", "content", 0, "top_logprobs", 1),
    ("choices", 0, "stop_reason"), ("usage",), ("usage", "prompt_tokens"), ("usage", "prompt_tokens_details"),
]  # fmt: skip


def changed(body: Any, where: tuple[Any, ...], value: Any) -> Any:
    body = json.loads(json.dumps(body))
    at = body
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = value
    return body


@settings(max_examples=60, deadline=None)
@given(where=st.sampled_from(WHERE), value=VALUES)
def test_whatever_a_reply_holds_only_failures_come_out(where: tuple[Any, ...], value: Any):
    whole = {**chat({"true": -0.1, "false": -2.0}, "true"), "usage": {"prompt_tokens": 3}}
    with contextlib.suppress(CallFailed):
        body = parse(json.dumps(changed(whole, where, value)))
        choice = choice_of(body)
        assert text_of(choice).encode() is not None, "it can be written to a file"
        assert math.isfinite(float(usage_of(body).prompt_tokens))
        tokens = tokens_of(choice)
        assert all(token.text.encode() is not None for token in tokens)
        within([token.logprob for token in tokens], tokens, 1e-3)


@settings(max_examples=60, deadline=None)
@given(field=st.sampled_from(["id", "owned_by", "max_model_len"]), value=VALUES, whole=VALUES)
def test_whatever_a_list_of_models_holds(field: str, value: Any, whole: Any):
    assert recognise({"data": [{"id": "m", field: value}]}, "m")[0].name
    assert recognise({"data": whole}, "m")[0].name
    assert recognise(whole, "m")[0].name


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"choices":[{"text":"a","logprobs":{"top_logprobs":[{" true":-1' + b"0" * 400 + b"}]}}]}",
        b'{"choices":[{"text":"a","logprobs":{"content":[{"token":"true","logprob":-1,"top_logprobs":5}]}}]}',
        b'{"choices":[{"text":' + b"9" * 5000 + b"}]}",
        b'{"choices":[{"text":"a","logprobs":{"top_logprobs":[{" true":null," false":null}]}}]}',
        b"\xff\xfe{",
    ],
    ids=["deep", "huge", "type", "digits", "impossible", "bytes"],
)
def test_a_sick_reply_is_one_failed_document(body: bytes):
    def script(call: Call) -> Any:
        return Answer(body) if "sick" in call.prompt else completion({" true": -0.1, " false": -2.0})

    with LoopbackServer(script) as server:
        well, sick = read(backend(server), "well", "sick")
    assert isinstance(well, LabelReading)
    assert isinstance(sick, Failed)


def test_lone_surrogates_of_a_completion_are_replaced():
    with LoopbackServer(lambda call: Answer(b'{"choices":[{"index":0,"text":"a\\ud83d"}]}')) as server:
        assert write(backend(server), stop=()).text == "a\ufffd"


# ---- size and place -----------------------------------------------------------------------------


def test_a_compressed_reply_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch):
    good = json.dumps(completion({" true": -0.1, " false": -2.0})).encode()
    bodies = {
        "good": gzip.compress(good),
        "bomb": gzip.compress(b" " * (3 << 20)),
        "half": gzip.compress(good)[:-9],
    }
    monkeypatch.setattr(client, "MOST_BYTES", 2 << 20)
    with LoopbackServer(
        lambda call: Answer(bodies[call.prompt], headers={"content-encoding": "gzip"})
    ) as server:
        well, bomb, half = read(backend(server), "good", "bomb", "half")
        assert server.calls[0].headers["accept-encoding"] == "gzip, deflate"
    assert isinstance(well, LabelReading)
    assert "larger than 2 MiB" in bomb.reason
    assert "ended before" in half.reason


def test_an_encoding_that_nobody_asked_for_is_not_decoded():
    with LoopbackServer(lambda call: Answer(b"x", headers={"content-encoding": "br"})) as server:
        assert "compressed as 'br'" in read(backend(server), "a")[0].reason


def test_passages_are_not_sent_to_another_server():
    with LoopbackServer(toy) as other:
        away = f"http://localhost:{other.port}/v1/completions?key=QSECRET"
        with LoopbackServer(lambda call: Answer({}, 307, {"Location": away})) as server:
            failed = read(backend(server), "private")[0]
            assert len(server.calls) == 1
        assert other.calls == []
    assert f"redirects to http://localhost:{other.port}: queries and passages" in failed.reason
    assert "QSECRET" not in failed.reason


def test_a_redirect_on_the_same_server_is_followed():
    good = completion({" true": -0.1, " false": -2.0})

    def script(call: Call) -> Any:
        return good if call.path == "/v2/x" else Answer({}, 307, {"Location": "/v2/x"})

    with LoopbackServer(script) as server:
        assert isinstance(read(backend(server), "a")[0], LabelReading)
    with LoopbackServer(lambda call: Answer({}, 307, {"Location": "http://[::1"})) as server:
        assert "no address" in read(backend(server), "a")[0].reason


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>hello", b"\n <html>hello</html>"])
def test_a_web_page_is_called_one(page: bytes):
    with LoopbackServer(lambda call: Answer(page)) as server:
        reason = read(backend(server), "a")[0].reason
    assert "not JSON" in reason
    assert "it is a web page: correct base_url, which mostly ends with /v1" in reason


def test_a_status_is_named_once():
    with LoopbackServer(lambda call: Answer({"error": {"message": "oops"}}, 400)) as server:
        reason = read(backend(server), "a")[0].reason
    assert reason.startswith("HTTP 400: ")
    assert reason.count("400") == 1
    with LoopbackServer(lambda call: Answer({}, 400)) as server:
        assert read(backend(server), "a")[0].reason == "HTTP 400"


# ---- keys and addresses -------------------------------------------------------------------------


@pytest.mark.parametrize("key", [f"{KEY}\n", f"\u201c{KEY}\u201d", f"{KEY} ", f"{KEY}\x00"])
def test_keys_that_cannot_be_sent_are_told_at_construction(key: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="api_key") as caught:
        OpenAIBackend("m", base_url="http://localhost:1/v1", api_key=key)
    assert KEY[:6] not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", key.replace("\x00", "\x01"))
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        OpenAIBackend("m", base_url="http://localhost:1/v1")


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://h:abc/v1", "http://h:99999", "file:///etc/passwd", "localhost:8000/v1", "http://",
     "http://h\n/v1", "http://a b/v1", "", "ftp://h/v1"],
)  # fmt: skip
def test_addresses_that_are_none_are_told_at_construction(url: str):
    with pytest.raises(InputError, match="base_url"):
        OpenAIBackend("m", base_url=url, api_key=KEY)


@pytest.mark.parametrize("proxy", ["socks4://127.0.0.1:1", "http://127.0.0.1:abc"])
def test_a_proxy_that_cannot_be_used_is_told_at_construction(proxy: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(InputError, match="ALL_PROXY"):
        OpenAIBackend("m", base_url="http://localhost:1/v1")


def test_a_secret_in_the_query_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture):
    def script(call: Call) -> Any:
        assert call.path.endswith("/completions?api_key=QSECRET12&v=1")
        if "bad" in call.prompt:
            return Answer({"error": {"message": "no QSECRET12"}}, 400)
        return completion({" true": -0.1, " false": -2.0})

    with caplog.at_level(logging.DEBUG), LoopbackServer(script) as server:
        made = backend(server, base_url=f"{server.url}?api_key=QSECRET12&v=1")
        good, bad = read(made, "good", "bad")
    assert isinstance(good, LabelReading)
    for text in (repr(made), made.identity, bad.reason, caplog.text):
        assert "QSECRET" not in text
    address = parse_address("http://h/v1?api_key=QSECRET12")
    assert address.shown != parse_address("http://h/v1?api_key=QSECRET13").shown
    assert "QSECRET" not in repr(address)


def test_a_key_in_the_path_is_sent_and_never_shown():
    with LoopbackServer(lambda call: Answer({"error": f"no {call.path}"}, 401)) as server:
        made = backend(server, base_url=f"{server.url}/{KEY}", api_key=None)
        with pytest.raises(BackendError) as refused:
            write(made)
        assert any(KEY in call.path for call in server.calls)
    assert KEY not in repr(made) + made.identity + "".join(traceback.format_exception(refused.value))
    other = parse_address(f"http://h/{KEY}6/v1")
    assert parse_address(f"http://h/{KEY}/v1").shown != other.shown
    with pytest.raises(InputError, match="what looks like a key in its path") as error:
        check_written(f"http://h/{KEY}/v1")
    assert KEY not in str(error.value)


def test_a_short_key_is_not_cut_out_of_replies():
    with LoopbackServer(lambda call: completion({}, "token", "stop")) as server:
        assert write(backend(server, api_key="k"), stop=()).text == "token"
        assert write(backend(server, api_key=None), stop=()).text == "token"


def test_a_dead_server_ends_a_ranking_at_once(monkeypatch: pytest.MonkeyPatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # which a machine off the net may take minutes for
    waits, url = Waits(), "http://nohost.invalid/v1"
    made = Reranker("limrank", "m", "openai", base_url=url, reasoning="none", sleep=waits)
    with pytest.raises(BackendError, match="no connection"):
        made.rank("why", ["a", "b"])
    assert sum(waits.seconds) <= 20


@pytest.mark.parametrize(
    "address",
    [
        "user:SECRET1234@h:1/v1",
        "user:SECRET1234@h",
        "HTTP//user:SECRET1234@h/v1",
        "http:/user:SECRET1234@h/v1",
        "http:user:SECRET1234@h/v1",
        "http://127.0.0.1:SECRET1234/v1",
        "http://[SECRET1234",
        "http://user:SECRET1234@[::1",
        "http://user:SECRET/1234@h/v1",
        "//user:SECRET1234@h/v1",
        "htp://user:SECRET1234@h/v1",
        "localhost:8000/v1?api_key=SECRET1234",
        "sk-SECRET1234567890",
    ],
)
def test_what_is_no_address_is_not_shown_with_what_may_be_a_login(address: str):
    with pytest.raises(InputError) as error:
        parse_address(address)
    assert "SECRET" not in "".join(traceback.format_exception(error.value))


def test_a_missing_scheme_is_shown():
    with pytest.raises(InputError, match="but got 'localhost:8000/v1'"):
        parse_address("localhost:8000/v1")


@pytest.mark.parametrize(
    "body",
    [
        {"api_key": "SECRET1234"},
        {"azure-api-key": "SECRET1234"},
        {"extra": {"headers": [{"Authorization": "SECRET1234"}]}},
        {"note": "sk-SECRET1234567890"},
    ],
)
@pytest.mark.parametrize("kind", [OpenAIBackend, RerankAPIBackend, DecisionsBackend])
def test_a_body_holds_no_key(kind: Any, body: dict[str, Any]):
    with pytest.raises(InputError, match="give it as api_key") as error:
        kind("m", base_url="http://localhost:1/v1", body=body)
    assert "SECRET" not in "".join(traceback.format_exception(error.value))


def test_other_fields_of_a_body_are_let_through():
    made = OpenAIBackend("m", base_url="http://localhost:1/v1", body={"prompt_cache_key": "a", "token": "b"})
    assert "prompt_cache_key" in made.identity
