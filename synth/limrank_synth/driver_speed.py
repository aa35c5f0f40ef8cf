"""How many calls a second the synthesizer's jobs handle, when nobody has to be waited for.

    python -m limrank_synth.driver_speed

Two ways: against a backend in the same process, which leaves the pool and its ledger; and against a
server on loopback in a process of its own, which adds HTTP and the openai SDK. JSON goes to stdout, a
line for people to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from limrank_plugins.backends.protocols import Backend, Generate, Generated, Reply
from limrank_plugins.data import Usage
from limrank_synth.role_requests import RoleProgram, RoleRequest, chat_prompt
from limrank_synth.settings import Role, SynthSettings
from limrank_synth.synth_job import run_job

GOAL = 200
"""Calls a second that the project promises."""

_COMPLETION = "A sentence of ten words, as a model would write it. " * 40
_PROMPT = "Write a passage of some length about the thing that is described. " * 40
_BATCH = 4


def program(number: int, calls: int) -> RoleProgram[int]:
    """A program that asks so many requests, four at a time, as a seed's stages do."""
    asked = 0
    while asked < calls:
        size = min(_BATCH, calls - asked)
        texts = [f"{number}/{asked + i}: {_PROMPT}" for i in range(size)]
        replies = yield [RoleRequest("writer", chat_prompt(("user", text))) for text in texts]
        asked += len(replies)
    return asked


class Instant:
    """A backend whose completions cost no time."""

    name = identity = "instant"

    async def generate(self, requests: Sequence[Generate]) -> list[Reply]:
        """The completions, after one turn of the event loop."""
        await asyncio.sleep(0)
        usage = Usage(prompt_tokens=600, generated_tokens=400)
        return [Generated(_COMPLETION, "end", usage=usage) for _ in requests]


def measured(
    calls: int, settings: SynthSettings, backends: Mapping[str, Backend] | None = None
) -> dict[str, Any]:
    """Run programs of 20 calls each, with a ledger on disk."""
    number = max(1, calls // 20)
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(2):  # the second time, everything is in the ledger
            programs = [program(i, 20) for i in range(number)]
            begin = time.perf_counter()
            ids = [str(i) for i in range(number)]
            with run_job(programs, ids, settings, Path(folder), backends=backends) as job:
                seconds.append(time.perf_counter() - begin)
    asked = int(sum(job.results))
    return {
        "calls": asked,
        "seconds": round(seconds[0], 3),
        "calls_per_second": round(asked / seconds[0], 1),
        "replayed_per_second": round(asked / seconds[1], 1),
    }


@contextmanager
def instant_server() -> Iterator[str]:
    """The address of a server that answers at once, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_served, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.kill()
        process.join()


def _served(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    response = {
        "id": "1",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": _COMPLETION}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 600, "completion_tokens": 400},
    }
    body = json.dumps(response).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    )

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                await reader.readexactly(length)
                writer.write(head + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def main() -> int:
    """Measure both ways; 0 where the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000, help="calls against the backend in the process")
    parser.add_argument("--served", type=int, default=2000, help="calls against the server")
    parser.add_argument("--concurrency", type=int, default=32, help="calls in flight")
    options = parser.parse_args()
    role = Role("m", price_in=1.0, price_out=2.0)
    settings = SynthSettings({"writer": role}, concurrency=options.concurrency)
    rates_of = {"in_process": measured(options.calls, settings, {"writer": Instant()})}
    with instant_server() as address:
        writer = replace(role, base_url=address)
        settings = SynthSettings({"writer": writer}, concurrency=options.concurrency)
        rates_of["loopback"] = measured(options.served, settings)
    report = json.dumps({"goal": GOAL, "concurrency": options.concurrency, **rates_of}, indent=2)
    sys.stdout.write(f"{report}\n")
    fast = all(way["calls_per_second"] >= GOAL for way in rates_of.values())
    rates = ", ".join(f"{way['calls_per_second']:,.0f} calls/s {name}" for name, way in rates_of.items())
    sys.stderr.write(f"synth driver: {rates} ({'meets' if fast else 'misses'} the goal of {GOAL})\n")
    return 0 if fast else 1


if __name__ == "__main__":
    sys.exit(main())
