"""Ctrl-C in async code on a plain backend, in a real process: it ends at the next reply, which is kept."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from limrank_plugins.backends.in_thread import ask_in_thread
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.protocols import Generate, Generated
from limrank_plugins.reply_store import ReplyStore, To
from limrank_plugins.segments import Prompt, Segment
from limrank_plugins.store import Store

REQUESTS = [Generate(Prompt((Segment(text),)), (), max_tokens=2) for text in "abcdef"]


class Telling:
    """Replies to one request for every line of stdin, and tells of each."""

    name = identity = "telling"

    def generate(self, requests: Sequence[Generate], arrived: Any) -> list[Generated]:
        replies = []
        for position, request in enumerate(requests):
            print("asked", position, flush=True)
            sys.stdin.readline()
            replies.append(Generated(request.prompt.text, "end"))
            arrived(position, replies[-1])
        return replies


class Silent(Telling):
    """The same, told of by its return alone."""

    name = identity = "silent"

    def generate(self, requests: Sequence[Generate]) -> list[Generated]:  # type: ignore[override]
        return super().generate(requests, lambda position, reply: None)


# A shell's background job ignores SIGINT, and so would what it starts: here Ctrl-C is what it is.
CHILD = """
import asyncio, signal, sys
from functools import partial
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = sys.argv[4:]
from test_in_thread import REQUESTS, Silent, Telling
from limrank_plugins.backends.metered import Metered
from limrank_plugins.prices import Price
from limrank_plugins.driver import arun, on
from limrank_plugins.store import Store

backend = {"telling": Telling, "silent": Silent}[sys.argv[1]]()
if sys.argv[2] == "metered":
    backend = Metered(backend, Price(), identity="metered")

def program():
    return (yield REQUESTS)

async def say_when_cancelled():
    try:
        await asyncio.Event().wait()
    finally:  # in the loop's next round, when all the tasks that are cancelled with this one know of it
        asyncio.get_running_loop().call_soon(partial(print, "cancelled", flush=True))

async def main():
    with Store(sys.argv[3]) as store:
        async with asyncio.TaskGroup() as group:
            group.create_task(arun(on(backend, program()), store))
            group.create_task(say_when_cancelled())

asyncio.run(main())
"""


@pytest.mark.parametrize("wrapped", ["plain", "metered"])
@pytest.mark.parametrize("kind", ["telling", "silent"])
def test_an_interrupt_ends_within_one_reply_and_keeps_what_arrived(kind: str, wrapped: str, tmp_path: Path):
    path = [entry for entry in sys.path if entry]
    arguments = [sys.executable, "-c", CHILD, kind, wrapped, str(tmp_path / "s.sqlite")]
    child = subprocess.Popen(
        [*arguments, str(Path(__file__).parent), *path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        for number in range(3):
            assert child.stdout.readline() == f"asked {number}\n"
            if number < 2:
                print(file=child.stdin, flush=True)
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "cancelled\n"
        if kind == "telling":
            print(file=child.stdin, flush=True)
        # No more lines: a child that asked for another reply would wait for ever.
        assert child.wait(timeout=50) in (-signal.SIGINT, 130)
        assert child.stdout.read() == ""
        assert "KeyboardInterrupt" in child.stderr.read().splitlines()[-1]  # type: ignore[union-attr]
    finally:
        child.kill()
        child.communicate()
    backend = Telling() if kind == "telling" else Silent()
    if wrapped == "metered":
        backend.identity = "metered"
    with Store(tmp_path / "s.sqlite") as store:
        kept = ReplyStore(store).find([To(backend, request) for request in REQUESTS])
    assert [reply is not None for reply in kept] == [kind == "telling"] * 3 + [False] * 3


def test_what_a_backend_raises_reaches_the_caller():
    def failing(requests: Sequence[Exception]) -> list[Generated]:
        raise requests[0]

    for error, kind in ((KeyError("x"), KeyError), (StopIteration(3), RuntimeError)):
        with pytest.raises(kind):
            asyncio.run(ask_in_thread(failing, [error], lambda position, reply: None))  # type: ignore[list-item]


def test_a_cancelled_caller_is_not_answered_before_the_backend_has_stopped():
    asked, release, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(requests: Sequence[Generate], arrived: Any) -> None:
        try:
            asked.set()
            release.wait(60)
            arrived(0, Generated("a", "end"))
            raise AssertionError("it was not stopped")
        finally:
            ended.set()

    async def cancelled() -> list[int]:
        seen: list[int] = []
        task = asyncio.create_task(
            ask_in_thread(slow, REQUESTS, lambda position, reply: seen.append(position))
        )
        await asyncio.to_thread(asked.wait, 60)
        task.cancel()
        await asyncio.sleep(0)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()
        return seen

    assert asyncio.run(cancelled()) == [0]


def test_the_replies_of_one_pass_are_all_kept(tmp_path: Path):
    asked, release = threading.Event(), threading.Event()

    def slow(requests: Sequence[Generate], arrived: Any) -> None:
        asked.set()
        release.wait(60)
        replies = Replies(arrived)
        for start in (0, 3):
            with replies.together():
                for position in range(start, start + 3):
                    replies[position] = Generated("a", "end")

    async def cancelled(store: ReplyStore) -> None:
        backend = Silent()
        wanted = [To(backend, request) for request in REQUESTS]
        keeper = store.keeper(wanted)
        task = asyncio.create_task(ask_in_thread(slow, REQUESTS, keeper))
        await asyncio.to_thread(asked.wait, 60)
        task.cancel()
        await asyncio.sleep(0)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert keeper.kept == {0, 1, 2}
        assert [reply is not None for reply in store.find(wanted)] == [True] * 3 + [False] * 3

    with Store(tmp_path / "s.sqlite") as store:
        asyncio.run(cancelled(ReplyStore(store)))
