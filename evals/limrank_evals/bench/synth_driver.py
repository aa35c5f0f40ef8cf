"""How many calls a second the synthesizer's driver handles, when nobody has to be waited for.

    python -m limrank_evals.bench.synth_driver

Two ways: against a sender in the same process, which leaves the engine and its ledger; and against a
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from limrank_plugins.store import Store
from limrank_synth.asking import Asking, Message, Question, Reply
from limrank_synth.endpoints import Endpoints
from limrank_synth.engine import Engine, Sends
from limrank_synth.ledger import Ledger
from limrank_synth.settings import Role, SynthSettings

GOAL = 200
"""Calls a second that the project promises."""

_ANSWER = "A sentence of ten words, as a model would write it. " * 40
_PROMPT = "Write a passage of some length about the thing that is described. " * 40
_BATCH = 4


def program(number: int, calls: int) -> Asking[int]:
    """A program that asks so many questions, four at a time, as a seed's stages do."""
    asked = 0
    while asked < calls:
        size = min(_BATCH, calls - asked)
        texts = [f"{number}/{asked + i}: {_PROMPT}" for i in range(size)]
        replies = yield [Question("writer", (Message("user", text),)) for text in texts]
        asked += len(replies)
    return asked


class Instant:
    """A sender whose answers cost no time."""

    async def send(self, question: Question, note: Callable[[str], None]) -> Reply:
        """The answer, after one turn of the event loop."""
        await asyncio.sleep(0)
        return Reply(_ANSWER, prompt_tokens=600, written_tokens=400, cost=0.001)


def measured(calls: int, settings: SynthSettings, sender: Sends) -> dict[str, Any]:
    """Drive programs of 20 calls each against a sender, with a ledger on disk."""
    programs = [program(number, 20) for number in range(max(1, calls // 20))]
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "ledger.sqlite") as store:
        engine: Engine[int] = Engine(settings, Ledger(store), sender)
        begin = time.perf_counter()
        driven = asyncio.run(_run(engine, programs, sender))
        seconds = time.perf_counter() - begin
        again = time.perf_counter()
        asyncio.run(_run(engine, [program(number, 20) for number in range(len(programs))], sender))
        replayed = time.perf_counter() - again
    return {
        "calls": driven.asked,
        "seconds": round(seconds, 3),
        "calls_per_second": round(driven.asked / seconds, 1),
        "replayed_per_second": round(driven.asked / replayed, 1),
    }


async def _run(engine: Engine[int], programs: list[Asking[int]], sender: Sends) -> Any:
    try:
        return await engine.run(programs)
    finally:
        if isinstance(sender, Endpoints):
            await sender.aclose()


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
    answer = {
        "id": "1",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": _ANSWER}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 600, "completion_tokens": 400},
    }
    body = json.dumps(answer).encode()
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
    parser.add_argument("--calls", type=int, default=4000, help="calls against the sender in the process")
    parser.add_argument("--served", type=int, default=2000, help="calls against the server")
    parser.add_argument("--concurrency", type=int, default=32, help="calls in flight")
    options = parser.parse_args()
    role = Role("m", price_in=1.0, price_out=2.0)
    found = {
        "in_process": measured(
            options.calls, SynthSettings({"writer": role}, concurrency=options.concurrency), Instant()
        )
    }
    with instant_server() as address:
        settings = SynthSettings(
            {"writer": Role("m", base_url=address, price_in=1.0, price_out=2.0)},
            concurrency=options.concurrency,
        )
        found["loopback"] = measured(options.served, settings, Endpoints(settings, {}))
    print(json.dumps({"goal": GOAL, "concurrency": options.concurrency, **found}, indent=2))  # noqa: T201
    fast = all(way["calls_per_second"] >= GOAL for way in found.values())
    rates = ", ".join(f"{way['calls_per_second']:,.0f} calls/s {name}" for name, way in found.items())
    sys.stderr.write(f"synth driver: {rates} ({'meets' if fast else 'misses'} the goal of {GOAL})\n")
    return 0 if fast else 1


if __name__ == "__main__":
    sys.exit(main())
