"""Who may ask, and how much is read of what they send."""

from __future__ import annotations

import json
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import LONGEST, QUERY, TEXTS, Gated, Service, judging, serving

from limrank_plugins.server import Hosts, Limits
from limrank_plugins.server.hosts import is_loopback

JSON = {"Content-Type": "application/json"}
BODY = json.dumps({"query": QUERY, "documents": TEXTS}).encode()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    limits = Limits(
        body=20_000,
        documents=5,
        document_characters=100,
        query_characters=50,
        characters=300,
        seconds=LONGEST,
    )
    with serving(judging(), limits=limits) as running:
        yield running


def detail(done: httpx.Response, status: int) -> str:
    assert done.status_code == status, done.text
    assert done.headers["content-type"] == "application/json"
    said = done.json()
    assert list(said) == ["detail"]
    assert isinstance(said["detail"], str)
    return str(said["detail"])


# ---- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"documents": ["a"] * 6}, "documents are too many: at most 5 are accepted, but got 6"),
        ({"documents": ["a", "b" * 101]}, "documents.1 is too long: at most 100 characters are accepted"),
        ({"query": "q" * 51}, "query is too long: at most 50 characters are accepted, but got 51"),
        ({"documents": ["a" * 90] * 4}, "documents together are too long: at most 300 characters"),
    ],
)
def test_more_than_is_accepted(service: Service, fields: dict[str, object], said: str):
    assert said in detail(service.rerank(**fields), 413)


def test_as_much_as_is_accepted(service: Service):
    for fields in ({"documents": list("abcde")}, {"documents": ["a" * 100] * 3}, {"query": "q" * 50}):
        assert service.rerank(**fields).status_code == 200


@pytest.mark.parametrize("encoding", ["length", "chunked"])
def test_a_body_that_is_too_large(service: Service, encoding: str):
    large = b" " * 1_000_000
    content = large if encoding == "length" else iter([large[:50_000]] * 20)
    done = service.client.post("/rerank", content=content, headers=JSON)
    assert detail(done, 413) == "the body is too large: at most 20,000 bytes are accepted"
    assert service.rerank().status_code == 200


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 18, "9" * 5000, "²"])
def test_a_length_that_is_none(service: Service, length: str):
    head = "POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert exchange(service, f"{head}Content-Length: {length}\r\n\r\n".encode()).split(b" ")[1] in (
        b"400",
        b"413",
    )
    assert service.rerank().status_code == 200


def exchange(service: Service, request: bytes) -> bytes:
    """All that comes back on a connection of its own."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=LONGEST) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def test_a_body_that_does_not_come():
    with serving(judging()) as service:
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=LONGEST) as connection:
            connection.sendall(
                b"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            )
            connection.sendall(b"Content-Length: 100\r\n\r\n{")
            service.wait_for(lambda inside: inside.gate.under_way == 1)
            service.pass_time(Limits().body_seconds)
            answered = b""
            while part := connection.recv(65_536):  # the server ends the connection
                answered += part
        assert answered.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not arrive within 30 seconds" in answered
        service.wait_for(lambda inside: inside.gate.under_way == 0)
        assert service.rerank().status_code == 200


def test_half_a_body_and_gone():
    with serving(judging()) as service:
        head = b"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        exchange(service, head + b"Content-Length: 100\r\n\r\n{")
        service.wait_for(lambda inside: inside.gate.under_way == 0)
        assert 'limrank_requests_total{status="499"} 1.0' in service.client.get("/metrics").text


def test_huge_bodies_take_no_memory(service: Service):
    """Twenty clients send 20 MB each, of which nothing may be kept."""
    part = b" " * 200_000

    def send(_: int) -> int:
        done = httpx.post(
            f"{service.url}/rerank", content=(part for _ in range(100)), headers=JSON, timeout=LONGEST,
            trust_env=False,
        )  # fmt: skip
        return done.status_code

    tracemalloc.start()
    try:
        with ThreadPoolExecutor(20) as pool:
            statuses = []
            for future in [pool.submit(send, i) for i in range(20)]:
                try:
                    statuses.append(future.result(LONGEST))
                except httpx.TransportError:  # who sends on and on is cut off
                    statuses.append(413)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert set(statuses) == {413}
    assert peak < 60_000_000
    assert service.rerank().status_code == 200


def test_more_requests_at_a_time_than_are_accepted():
    backend = Gated()
    with serving(judging(backend), limits=Limits(queue=2)) as service, ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(service.rerank) for _ in range(2)]
        service.wait_for(lambda inside: inside.gate.under_way == 2)
        refused = service.rerank()
        assert detail(refused, 429) == "2 requests at a time are accepted here: ask again later"
        assert refused.headers["retry-after"] == "1"
        assert service.client.get("/health").status_code == 200
        backend.gate.set()
        assert [future.result(LONGEST).status_code for future in accepted] == [200, 200]
        assert service.rerank().status_code == 200


def test_one_that_takes_too_long_frees_its_place():
    backend = Gated()
    with serving(judging(backend), limits=Limits(queue=1, seconds=0.05)) as service:
        late = service.rerank()
        assert detail(late, 503) == "the documents could not be ranked within 0.05 seconds"
        assert late.headers["retry-after"] == "1"
        service.wait_for(lambda inside: inside.gate.under_way == 0)
        again = service.rerank()  # it is let in, though the model is still at the first one
        assert again.status_code == 503
        backend.gate.set()


@pytest.mark.parametrize("field", ["body", "documents", "characters", "queue"])
def test_limits_are_whole_numbers(field: str):
    for wrong in (0, -1, 1.5, True, None, "3"):
        with pytest.raises(ValueError, match=rf"Limits.{field} must be a whole number >= 1, but got"):
            Limits(**{field: wrong})
    with pytest.raises(ValueError, match=r"Limits.seconds must be a number > 0, but got 0"):
        Limits(seconds=0)


# ---- what is no request -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"[]", "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b'"text"', "the body must be a JSON object"),
        (b"\xff\xfe", "the body is not JSON"),
        (b'{"query": NaN}', "NaN is no JSON"),
        (b'{"query": "q", "documents": ["a"], "top_n": 1e999}', "top_n"),
        (b'{"top_n": ' + b"1" * 5000 + b"}", "the body is not JSON"),
        (b"[" * 19_000, "nested too deeply"),
        (b'{"documents": ' + b"[" * 900 + b"]" * 900 + b"}", "query: Field required"),
        (b'{"query": "q", "documents": ["a"]}' + b"x", "the body is not JSON"),
        (b'{"query": "q", "documents": ["a"], "user": 3, "model": "\\ud800"}', "user"),
        (b'{"query": "\\ud800", "documents": [{"text\\ud800": "a"}]}', "documents.0"),
        (b'{"query": "q", "documents": ["a"], "\\ud800": 1}', ""),
        (b"{" + b",".join(b'"%d": 1' % i for i in range(1000)) + b"}", "the body has 1,000 fields"),
    ],
    ids=range(16),
)
def test_what_is_no_request(service: Service, body: bytes, said: str):
    assert said in detail(service.client.post("/rerank", content=body, headers=JSON), 422)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"query": ""}, "query"),
        ({"query": " \n"}, "query is empty"),
        ({"query": 3}, "query"),
        ({"query": ["q"]}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": {"a": "b"}}, "documents"),
        ({"documents": [1]}, "documents.0: Input should be a text or an object"),
        ({"documents": ["a", None]}, "documents.1"),
        ({"documents": [{"image": "a"}]}, "documents.0.text: Field required"),
        ({"documents": [{"text": 3}]}, "documents.0.text: Input should be a valid string"),
        ({"documents": [["a"]]}, "documents.0"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "1"}, "top_n"),
        ({"top_n": 1.5}, "top_n"),
        ({"top_n": True}, "top_n"),
        ({"model": 1}, "model"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"stream": 1}, "stream"),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc"),
        ({"rank_fields": ["text"]}, "rank_fields: Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_wrong_types(service: Service, fields: dict[str, object], said: str):
    assert said in detail(service.rerank(**fields), 422)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("model", "query", "documents", "top_n", "return_documents", "max_tokens_per_doc", "stream", "x")


@given(
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING),
    st.sampled_from(["/rerank", "/v1/rerank", "/v2/rerank"]),
)
@settings(max_examples=150)
def test_whatever_is_sent_is_answered_without_a_defect(fields: dict[str, object], path: str):
    with_defaults = {"query": "q", "documents": ["a"]} | fields
    body = json.dumps(with_defaults).encode()
    done = SHARED.get().client.post(path, content=body, headers=JSON)
    assert done.status_code in (200, 404, 413, 422)
    if done.status_code != 200:
        detail(done, done.status_code)


class _Shared:
    """A server for the tests that hypothesis runs, which takes no fixtures of a narrower scope."""

    def __init__(self) -> None:
        self._lock, self._service, self._context = threading.Lock(), None, None

    def get(self) -> Service:
        with self._lock:
            if self._service is None:
                self._context = serving(judging())
                self._service = self._context.__enter__()
            return self._service

    def close(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._service = self._context = None


SHARED = _Shared()


@pytest.fixture(scope="module", autouse=True)
def _shared() -> Iterator[None]:
    yield
    SHARED.close()


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_taken(service: Service, kind: str):
    done = service.client.post("/rerank", content=BODY, headers={"Content-Type": kind} if kind else {})
    assert detail(done, 415) == "send the request as Content-Type: application/json"
    assert service.client.post(
        "/rerank", content=BODY, headers={"Content-Type": "application/json; charset=utf-8"}
    )


# ---- who may ask --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "LOCALHOST:1", "[::1]:8080", "localhost."])
def test_names_of_this_machine(service: Service, host: str):
    assert service.client.post("/rerank", content=BODY, headers=JSON | {"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.168.0.7", "localhost:80:80", "::1:8"]
)
@pytest.mark.parametrize("path", ["/rerank", "/health", "/metrics", "/openapi.json"])
def test_other_names_are_refused(service: Service, host: str, path: str):
    method = "POST" if path == "/rerank" else "GET"
    done = service.client.request(method, path, headers=JSON | {"Host": host}, content=BODY)
    assert "does not answer to that Host" in detail(done, 421)


def test_no_host_or_two():
    with serving(judging()) as service:
        assert exchange(service, b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
        two = exchange(service, b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert two.split(b" ")[1] in (b"400", b"421")


def test_a_name_that_is_allowed_and_addresses_of_a_server_for_all():
    everywhere = Hosts.of("0.0.0.0", ["Ranker.example"])
    assert all(map(everywhere.admit, ["ranker.example:80", "10.1.2.3:8080", "[fe80::1]:80", "localhost"]))
    assert not any(map(everywhere.admit, ["evil.example", "", "0x7f000001.example", "10.1.2.3.example"]))
    bound = Hosts.of("10.1.2.3")
    assert bound.admit("10.1.2.3:80")
    assert not bound.admit("10.1.2.4:80")
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.1.2.3", "x", ""]))


def test_pages_of_other_origins_are_refused(service: Service):
    own = service.url
    for origin in (own, own.replace("http:", "https:")):
        assert (
            service.client.post("/rerank", content=BODY, headers=JSON | {"Origin": origin}).status_code == 200
        )
    for origin in ("https://evil.example", "null", "http://localhost:1", own + ".evil.example"):
        done = service.client.post("/rerank", content=BODY, headers=JSON | {"Origin": origin})
        assert detail(done, 403) == "pages of another origin may not ask this server"
    asked_before = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    preflight = service.client.options("/rerank", headers=asked_before)
    assert preflight.status_code == 403
    assert not any(name.startswith("access-control") for name in preflight.headers)


def test_tokens():
    with serving(judging(), tokens=["first-token", "second-token"]) as service:
        for token in ("first-token", "second-token"):
            for kind in ("Bearer", "bearer"):
                done = service.client.post(
                    "/rerank", content=BODY, headers=JSON | {"Authorization": f"{kind} {token}"}
                )
                assert done.status_code == 200
        for wrong in (
            "Bearer first-toke",
            "Bearer first-token2",
            "first-token",
            "Basic first-token",
            "Bearer",
            "",
        ):
            done = service.client.post("/rerank", content=BODY, headers=JSON | {"Authorization": wrong})
            assert "a token is needed" in detail(done, 401)
            assert done.headers["www-authenticate"] == "Bearer"
        paths = ("/metrics", "/v1/models", "/openapi.json", "/nothing", "/health", "/ready")
        assert [service.client.get(path).status_code for path in paths] == [401, 401, 401, 401, 200, 200]
