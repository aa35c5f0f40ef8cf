"""A scripted OpenAI-compatible server on loopback, in a thread with an event loop of its own.

    with LoopbackServer(lambda call: completion({" true": -0.1, " false": -2.4})) as server:
        OpenAIBackend("m", base_url=server.url)

It answers as it is told, late, half, wrongly or never, and keeps count of what it sees.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import math
import socket
import struct
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from scripts import unit


@dataclass
class Call:
    """One request."""

    path: str
    headers: dict[str, str]
    body: Any
    number: int  # how many calls for an answer came before it

    @property
    def prompt(self) -> str:
        """Its prompt as text."""
        if "messages" in self.body:
            return self.body["messages"][-1]["content"]
        prompt = self.body["prompt"]
        return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))


@dataclass
class Answer:
    """One response. `keep` bytes of the body are sent before the connection ends, `reset` sends RST."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    keep: int | None = None
    reset: bool = False


def close_what_is_left() -> None:
    """Close the sockets of reset or timed-out requests: garbage collection does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@contextmanager
def nobody_listening(port: int = 0) -> Iterator[str]:
    """An address where connections are refused: while the block runs the port is taken, also from others."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def pass_time(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Have so many seconds gone by for an event loop: its timers that are due by then come, no others."""

    def pass_it() -> None:
        time = loop.time
        loop.time = lambda: time() + seconds  # type: ignore[method-assign]

    loop.call_soon_threadsafe(pass_it)


Script = Callable[[Call], Any]


class LoopbackServer:
    """Serves `POST` with a script, `GET /v1/models` with one model."""

    def __init__(
        self, script: Script, *, owner: str = "", context: int | None = None, remember: bool = True
    ) -> None:
        self._script = script
        self._remember = remember
        self.served = 0
        self._models: Any = {"data": [{"id": "m", "owned_by": owner, "max_model_len": context}]}
        self.calls: list[Call] = []
        self.now = 0
        self.peak = 0
        self.dropped = 0
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._connections: set[asyncio.Task[None]] = set()

    # ---- what tests look at ---------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def wait_for(self, what: Callable[[LoopbackServer], bool]) -> None:
        """Wait until it is so, without polling; fail where it never is."""
        with self._changed:
            assert self._changed.wait_for(lambda: what(self), timeout=60), "it never came to that"

    def look_again(self) -> None:
        """Let those who wait look whether it is so: something changed that the server does not see."""
        with self._changed:
            self._changed.notify_all()

    def open(self) -> None:
        """Let everything go on that waits at the gate."""
        self._loop.call_soon_threadsafe(self.gate.set)

    # ---- life -----------------------------------------------------------------------------------

    def __enter__(self) -> LoopbackServer:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop, self.gate = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for _ in range(5):  # a connection that was just accepted gets to know it
            await asyncio.sleep(0)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            answer: Answer | None = Answer(self._models)
        else:
            with self._changed:
                call = Call(path, headers, json.loads(raw or b"null"), self.served)
                self.served += 1
                if self._remember:
                    self.calls.append(call)
                self.now += 1
                self.peak = max(self.peak, self.now)
                self._changed.notify_all()
            answer = await self._answered(call, reader)
            with self._changed:
                self.now -= 1
                self.dropped += answer is None
                self._changed.notify_all()
        if answer is None:
            return False
        if answer.reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        lines = [
            f"HTTP/1.1 {answer.status} X",
            f"content-length: {len(body)}",
        ]
        headers = {"content-type": "application/json"} | answer.headers
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body[: answer.keep])
        await writer.drain()
        return answer.keep is None

    async def _answered(self, call: Call, reader: asyncio.StreamReader) -> Answer | None:
        """The script's answer, or None where the client went away before it came."""
        made = asyncio.ensure_future(self._made(call))
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({made, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (made, gone):
            task.cancel()
        await asyncio.gather(made, gone, return_exceptions=True)
        return made.result() if made.done() and not made.cancelled() else None

    async def _made(self, call: Call) -> Answer:
        found = self._script(call)
        if inspect.isawaitable(found):
            found = await found
        return found if isinstance(found, Answer) else Answer(found)


# ---- answers ------------------------------------------------------------------------------------


def completion(top: dict[str, float], text: str | None = None, finish: str = "length", **choice: Any) -> Any:
    """A completion as vLLM and llama_cpp write it; `top` are the log-probabilities of its one token."""
    written = text if text is not None else max(top, key=lambda token: top[token])
    logprobs = (
        {"tokens": [written], "token_logprobs": [top.get(written)], "top_logprobs": [top]} if top else None
    )
    made = {"index": 0, "text": written, "finish_reason": finish, "logprobs": logprobs, **choice}
    return {"choices": [made], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}


def chat(top: dict[str, float] | None, text: str, finish: str = "stop") -> Any:
    """A chat completion as OpenAI writes it."""
    entries = [{"token": token, "logprob": value} for token, value in (top or {}).items()]
    content = [{**max(entries, key=lambda entry: entry["logprob"]), "top_logprobs": entries}] if top else None
    message = {"role": "assistant", "content": text}
    logprobs = {"content": content} if top else None
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}]}


def verdict(prompt: str) -> dict[str, float]:
    """Log-probabilities of a toy model: they depend on the passage alone."""
    passage = prompt.split("Passage: ")[1].split("\n")[0]
    share = 0.05 + 0.9 * unit(passage)
    return {" true": math.log(share), " false": math.log(1 - share)}


def score(passage: str) -> float:
    """The score the toy model gives a passage."""
    return 0.05 + 0.9 * unit(passage)


def toy(call: Call) -> Any:
    """The toy model without faults."""
    return completion(verdict(call.prompt))


class Waits:
    """A `sleep` that returns at once and remembers how long it was to wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> Awaitable[None]:
        self.seconds.append(seconds)
        return asyncio.sleep(0)


INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from limrank_plugins.cli import main; main()"
)
"""The console script as a terminal runs it: a background job ignores Ctrl-C, and so would its child."""
