"""A server behind the proxy that the environment names: calls go through it, keys stay out of messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from servers import Answer, Call, LoopbackServer, Waits, chat

from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import Failed, Generate, Generated, Reply
from limrank_plugins.errors import BackendError
from limrank_plugins.segments import Prompt, Segment

KEY, LOGIN = "sk-secret-of-the-server", "secret-of-the-proxy"
HERE = "models.invalid"


@pytest.fixture(autouse=True)
def _no_other_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def address(proxy: LoopbackServer, login: str = "") -> str:
    return f"http://{login}127.0.0.1:{proxy.port}"


def asked(base_url: str) -> Reply:
    backend = OpenAIBackend(
        "m", base_url=base_url, api_key=KEY, server="generic", api="chat", max_retries=2, sleep=Waits()
    )
    try:
        request = Generate(Prompt((Segment("a passage that is nobody's business"),)), (), max_tokens=5)
        return asyncio.run(backend.generate([request]))[0]
    finally:
        backend.close()


def calls_of(proxy: LoopbackServer) -> list[str]:
    return [call.path for call in proxy.calls]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_calls_go_through_the_proxy(name: str, monkeypatch: pytest.MonkeyPatch):
    with LoopbackServer(lambda call: chat(None, "yes")) as proxy:
        monkeypatch.setenv(name, address(proxy, f"me:{LOGIN}@"))
        reply = asked(f"http://{HERE}/v1")
        assert isinstance(reply, Generated)
        assert reply.text == "yes"
        assert calls_of(proxy) == [f"http://{HERE}/v1/chat/completions"]
        assert "proxy-authorization" in proxy.calls[0].headers


def test_no_proxy_is_obeyed(monkeypatch: pytest.MonkeyPatch):
    with LoopbackServer(lambda call: chat(None, "yes")) as server, LoopbackServer(lambda call: {}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", address(proxy))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert isinstance(asked(server.url), Generated)
        assert calls_of(proxy) == []


def test_a_redirect_stays_at_the_server_behind_a_proxy_too(monkeypatch: pytest.MonkeyPatch):
    def moved(call: Call) -> Any:
        if call.path.endswith("/v2/chat/completions"):
            return chat(None, "yes")
        return Answer(status=307, headers={"location": "/v2/chat/completions"})

    with LoopbackServer(moved) as proxy:
        monkeypatch.setenv("HTTP_PROXY", address(proxy))
        assert isinstance(asked(f"http://{HERE}/v1"), Generated)
        assert calls_of(proxy) == [f"http://{HERE}{path}/chat/completions" for path in ("/v1", "/v2")]


def test_a_redirect_to_another_server_is_refused_behind_a_proxy_too(monkeypatch: pytest.MonkeyPatch):
    away = Answer(status=307, headers={"location": "http://other.invalid/v1/chat/completions"})
    with LoopbackServer(lambda call: away) as proxy:
        monkeypatch.setenv("HTTP_PROXY", address(proxy, f"me:{LOGIN}@"))
        reply = asked(f"http://{HERE}/v1")
        assert isinstance(reply, Failed)
        assert f"the server at http://{HERE} redirects to http://other.invalid" in reply.reason
        assert calls_of(proxy) == [f"http://{HERE}/v1/chat/completions"]
        assert KEY not in reply.reason
        assert LOGIN not in reply.reason


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_lets_nothing_through_is_named_and_gets_no_key(
    name: str, status: int, monkeypatch: pytest.MonkeyPatch
):
    refusal = Answer({"error": f"no: {LOGIN}"}, status=status)
    with LoopbackServer(lambda call: refusal) as proxy:
        monkeypatch.setenv(name, address(proxy, f"me:{LOGIN}@"))
        with pytest.raises(BackendError) as caught:
            asked(f"https://{HERE}/v1")
        told = str(caught.value)
        assert f"the proxy that {name.upper()} names does not let calls through" in told
        assert str(status) in told
        for call in proxy.calls:
            assert call.path == f"{HERE}:443", "the tunnel is all that a proxy is asked for"
            assert KEY not in str(call.headers)
            assert call.body is None
        assert KEY not in told
        assert LOGIN not in told


def test_a_proxy_that_wants_a_login_is_told(monkeypatch: pytest.MonkeyPatch):
    with LoopbackServer(lambda call: Answer({"error": "login"}, status=407)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", address(proxy))
        with pytest.raises(BackendError, match=r"the proxy wants a login") as caught:
            asked(f"http://{HERE}/v1")
        assert KEY not in str(caught.value)
        assert len(proxy.calls) == 1


def test_a_proxy_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch):
    with LoopbackServer(lambda call: {}) as proxy:
        port = proxy.port
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{LOGIN}@127.0.0.1:{port}")
    with pytest.raises(BackendError) as caught:
        asked(f"http://{HERE}/v1")
    assert "correct base_url or the proxy that HTTP_PROXY names" in str(caught.value)
    assert LOGIN not in str(caught.value)
