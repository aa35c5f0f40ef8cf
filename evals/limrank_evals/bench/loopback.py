"""A server on loopback that answers each call after the same time, so that what a client adds is seen.

It runs in a process of its own: its work is not counted as the client's, and waits for no lock of it.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_STARTS_WITHIN = 60  # seconds
_CONNECTIONS, _CALLS = range(2)


@dataclass(frozen=True, slots=True)
class Loopback:
    """A running server: its port, and what it has counted.

    Attributes:
        port: on 127.0.0.1.
        counts: shared with the server's process.
    """

    port: int
    counts: Any

    @property
    def url(self) -> str:
        """The address that a backend takes."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def connections(self) -> int:
        """Connections that were opened so far."""
        return int(self.counts[_CONNECTIONS])

    @property
    def calls(self) -> int:
        """Calls for an answer so far; the list of models is none."""
        return int(self.counts[_CALLS])


@contextmanager
def loopback(seconds: float) -> Iterator[Loopback]:
    """Run a server that answers each call so many seconds after it came."""
    processes = multiprocessing.get_context("spawn")
    counts = processes.Array("q", 2)
    here, there = processes.Pipe()
    process = processes.Process(target=_main, args=(there, counts, seconds), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(_STARTS_WITHIN):
            raise TimeoutError(f"the server on loopback did not start within {_STARTS_WITHIN} seconds")
        yield Loopback(here.recv(), counts)
    finally:
        process.kill()
        process.join()
        here.close()


def answer(path: str, body: Any) -> Any:
    """What a toy model says: completions, reranking and decisions of both dialects."""
    if path.endswith("/models"):
        return {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 32_768}]}
    if path.endswith("/rerank"):
        return {"results": [{"index": i, "relevance_score": 0.5} for i in range(len(body["documents"]))]}
    if path.endswith("/systemone"):
        return {"answers": {name: {"type": "noul", "noul": 0.5} for name in body["questions"]}}
    if path.endswith("/decisions"):
        questions = [(question["type"], question["name"]) for question in body["questions"]]
        answers = [{"type": kind, "name": name, "probability": 0.5} for kind, name in questions]
        return {"model": "m", "answers": answers, "usage": {"input_tokens": 7, "output_tokens": 1}}
    top = {" true": -0.5, " false": -1.0}
    logprobs = {"tokens": [" true"], "token_logprobs": [-0.5], "top_logprobs": [top]}
    choice = {"index": 0, "text": " true", "finish_reason": "length", "logprobs": logprobs}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}


def _main(pipe: Any, counts: Any, seconds: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it, who ends it

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(counts, seconds), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class _Connection(asyncio.Protocol):
    """One connection, kept open; as little work a call as there can be."""

    def __init__(self, counts: Any, seconds: float) -> None:
        self._counts, self._seconds = counts, seconds
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._counts[_CONNECTIONS] += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        size = int(fields.get("content-length", 0))
        if len(rest) < size:
            return
        self._received = rest[size:]
        method, path, _ = lines[0].split(" ")
        body = json.loads(rest[:size]) if size else None
        written = json.dumps(answer(path, body)).encode("ascii")
        fields_of_reply = f"content-type: application/json\r\ncontent-length: {len(written)}\r\n\r\n"
        reply = b"HTTP/1.1 200 OK\r\n" + fields_of_reply.encode("ascii") + written
        if method == "GET":
            self._transport.write(reply)
            return
        self._counts[_CALLS] += 1
        loop = asyncio.get_running_loop()
        loop.call_later(self._seconds, self._transport.write, reply)
