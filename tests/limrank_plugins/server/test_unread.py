"""Clients that ask and do not read what they get: they hold no place, and no server that is to end."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from serving import LONGEST, QUERY, Service, judging, serving

from limrank_plugins import Reranker
from limrank_plugins.server import Hosts, Limits, build_app
from limrank_plugins.server.gate import Gate
from limrank_plugins.server.guards import Guards
from limrank_plugins.server.running import listen, url_of

LIMITS = Limits(seconds=1, queue=1)
# More than the system keeps for a connection whose other side reads nothing.
TEXTS = [f"{position} ".ljust(190_000, "m") for position in range(20)]


@contextmanager
def unread(url: str, **fields: Any) -> Iterator[socket.socket]:
    """A connection on which a long answer was asked for; nobody reads it."""
    host, port = url.removeprefix("http://").split(":")
    asked = json.dumps({"query": QUERY, "documents": TEXTS, "return_documents": True, **fields}).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.socket() as connection:
        connection.settimeout(LONGEST)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(f"{head}Content-Length: {len(asked)}\r\n\r\n".encode() + asked)
        yield connection


def rest_of(connection: socket.socket) -> int:
    """Bytes that had arrived when the server ended the connection."""
    size = 0
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            size += len(part)
    return size


@pytest.mark.parametrize("recipe", ["cross-encoder", "prior"], ids=["in parts", "whole"])
def test_a_stream_that_nobody_reads_gives_its_place_back_and_ends(recipe: str):
    reranker = judging() if recipe == "cross-encoder" else Reranker(recipe)
    with serving(reranker, limits=LIMITS) as service, unread(service.url, stream=True) as connection:
        service.wait_for(lambda inside: inside.gate.under_way == 1)
        service.wait_for(lambda inside: inside.gate.under_way == 0)
        assert service.rerank().status_code == 200
        assert 0 < rest_of(connection) < sum(map(len, TEXTS))


def test_behind_another_server_it_gives_its_place_back_too():
    app = build_app({"m": judging()}, limits=LIMITS)
    listener = listen("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with httpx.Client(base_url=url_of(listener), timeout=LONGEST, trust_env=False) as client:
        service = Service(url_of(listener), client, running, app.state.rerank_server)
        with unread(service.url, stream=True):
            service.wait_for(lambda inside: inside.gate.under_way == 1)
            service.wait_for(lambda inside: inside.gate.under_way == 0)
            assert service.rerank().status_code == 200
    running.should_exit = True
    thread.join(LONGEST)
    listener.close()
    assert not thread.is_alive()


async def test_what_is_late_before_anything_was_sent_is_told_so():
    sent: list[Any] = []

    async def never(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    statuses: list[int] = []
    gate, hosts, limits = Gate(1), Hosts.of("127.0.0.1"), Limits(seconds=0.01)
    guards = Guards(never, hosts=hosts, tokens=(), limits=limits, gate=gate, answered=statuses.append)
    await guards({"type": "http", "method": "POST", "path": "/rerank", "headers": headers}, receive, send)
    assert [sent[0]["status"], *statuses] == [503, 503]
    assert b"could not be ranked within 0.01 seconds" in sent[1]["body"]
    assert gate.under_way == 0


def test_an_answer_that_nobody_reads_keeps_no_server_from_ending():
    with ExitStack() as unended:
        with serving(Reranker("prior"), limits=LIMITS) as service:
            whole = service.rerank(documents=TEXTS, return_documents=True).json()
            assert [result["document"]["text"] for result in whole["results"]] == TEXTS
            connection = unended.enter_context(unread(service.url))
            while 'requests_total{status="200"} 2.0' not in service.client.get("/metrics").text:
                pass
        assert 0 < rest_of(connection) < sum(map(len, TEXTS))  # the server has ended by here
