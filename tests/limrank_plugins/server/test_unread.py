"""Clients that ask and do not read what they get: they hold no place, and no server that is to end."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import Queue
from typing import Any

import httpx
import pytest
import uvicorn
from serving import KEPT, LONGEST, QUERY, Service, judging, serving

from limrank_plugins import Reranker
from limrank_plugins.server import Hosts, Limits, build_app, guards
from limrank_plugins.server.gate import Gate
from limrank_plugins.server.guards import Guards
from limrank_plugins.server.running import listen, url_of

LIMITS = Limits(queue=1)
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


def wait_until_unread(service: Service) -> None:
    """Until the server holds back what a client does not read."""
    state = service.running.server_state
    service.wait_for(lambda inside: any(one.flow.write_paused for one in set(state.connections)))


def pass_time_until_free(service: Service, seconds: float) -> None:
    """Again where the system has taken some more of the answer meanwhile, which counts as read."""
    while service.inside.gate.under_way:
        service.pass_time(seconds)
        assert service.client.get("/health").status_code == 200


@pytest.mark.parametrize("recipe", ["cross-encoder", "prior"], ids=["in parts", "whole"])
def test_a_stream_that_nobody_reads_gives_its_place_back_and_ends(recipe: str):
    reranker = judging() if recipe == "cross-encoder" else Reranker(recipe)
    with serving(reranker, limits=LIMITS) as service, unread(service.url, stream=True) as connection:
        wait_until_unread(service)
        assert service.inside.gate.under_way == 1
        pass_time_until_free(service, LIMITS.seconds)
        assert service.rerank().status_code == 200
        assert 0 < rest_of(connection) < sum(map(len, TEXTS))


def test_behind_another_server_it_gives_its_place_back_too():
    app = build_app({"m": judging()}, limits=LIMITS)
    listener = listen("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_keep_alive=KEPT))
    loops: Queue[asyncio.AbstractEventLoop] = Queue()

    async def serve() -> None:
        loops.put(asyncio.get_running_loop())
        await running.serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    with httpx.Client(base_url=url_of(listener), timeout=LONGEST, trust_env=False) as client:
        service = Service(url_of(listener), client, running, app.state.rerank_server, loops.get())
        with unread(service.url, stream=True):
            wait_until_unread(service)
            assert service.inside.gate.under_way == 1
            pass_time_until_free(service, LIMITS.seconds + guards._LAST_SECONDS)
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


def test_an_answer_that_nobody_reads_keeps_no_server_from_ending(monkeypatch: pytest.MonkeyPatch):
    with ExitStack() as unended:
        with serving(Reranker("prior"), limits=LIMITS) as service:
            whole = service.rerank(documents=TEXTS, return_documents=True).json()
            assert [result["document"]["text"] for result in whole["results"]] == TEXTS
            connection = unended.enter_context(unread(service.url))
            wait_until_unread(service)
            end = service.running.shutdown

            async def late(sockets: list[socket.socket] | None = None) -> None:
                service.pass_time(LIMITS.seconds)  # once it is about to end, and waits for its clients
                await end(sockets)

            monkeypatch.setattr(service.running, "shutdown", late)
        assert 0 < rest_of(connection) < sum(map(len, TEXTS))  # the server has ended by here
