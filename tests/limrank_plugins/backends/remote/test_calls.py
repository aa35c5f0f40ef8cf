"""Calls to servers: what is asked again, how often, how many at a time, and what stops it."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from typing import Any

import httpx
import openai
import pytest
from servers import Answer, Call, LoopbackServer, Waits, nobody_listening, pass_time

from limrank_plugins.backends.remote.calls import Calls
from limrank_plugins.backends.remote.faults import CallFailed, is_transient, retry_after
from limrank_plugins.errors import InputError

KEY = "sk-planted-0123456789"


def calls(waits: Waits | None = None, **options: Any) -> Calls[httpx.AsyncClient]:
    return Calls(lambda: httpx.AsyncClient(timeout=30), sleep=waits or Waits(), **options)


def get(server: LoopbackServer, body: Any = None) -> Any:
    return get_at(server.url, body)


def get_at(url: str, body: Any = None) -> Any:
    async def ask(client: httpx.AsyncClient) -> Any:
        answer = await client.post(f"{url}/x", json=body)
        answer.raise_for_status()
        return answer.json()

    return ask


def one(server: LoopbackServer, made: Calls[httpx.AsyncClient]) -> Any:
    return asyncio.run(made.call(get(server)))


# ---- asking again -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(status: int):
    with LoopbackServer(
        lambda call: Answer({"n": call.number}, 200 if call.number == 2 else status)
    ) as server:
        assert one(server, calls()) == {"n": 2}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_will_not_pass_is_asked_once(status: int):
    with LoopbackServer(lambda call: Answer({"detail": "no"}, status)) as server:
        with pytest.raises(CallFailed, match=f"HTTP {status}") as caught:
            one(server, calls())
        assert len(server.calls) == 1
    assert caught.value.status == status
    assert caught.value.fatal == (status in (401, 403, 404))


@pytest.mark.parametrize("fault", [Answer(reset=True), Answer({"n": 1}, keep=3)], ids=["reset", "half"])
def test_broken_connections_are_asked_again(fault: Answer):
    with LoopbackServer(lambda call: Answer({"n": 2}) if call.number == 2 else fault) as server:
        assert one(server, calls()) == {"n": 2}


def test_a_refused_connection_is_asked_again_and_then_failed():
    waits = Waits()
    with nobody_listening() as url, pytest.raises(CallFailed, match=r"ConnectError.*\(asked 4 times\)"):
        asyncio.run(calls(waits, max_retries=3).call(get_at(url)))
    assert len(waits.seconds) == 3


def test_retries_end_and_grow_with_jitter():
    waits = Waits()
    with LoopbackServer(lambda call: Answer({}, 503)) as server:
        with pytest.raises(CallFailed, match=r"HTTP 503.*\(asked 6 times\)"):
            one(server, calls(waits, max_retries=5, max_wait=6))
        assert len(server.calls) == 6
    assert len(waits.seconds) == 5
    for seconds, most in zip(waits.seconds, [1, 2, 4, 6, 6], strict=True):
        assert most / 2 <= seconds <= most


def test_no_retries_where_none_are_wanted():
    with LoopbackServer(lambda call: Answer({}, 500)) as server:
        with pytest.raises(CallFailed, match="HTTP 500"):
            one(server, calls(max_retries=0))
        assert len(server.calls) == 1


def test_the_server_says_when_to_come_back():
    waits = Waits()
    said = [
        "7",
        formatdate(time.time() + 100, usegmt=True),
        "99999",
        formatdate(0, usegmt=True),
        "nonsense",
        "-3",
        "nan",
    ]

    def script(call: Call) -> Answer:
        return Answer({}, 429, {"Retry-After": said[call.number]}) if call.number < len(said) else Answer({})

    with LoopbackServer(script) as server:
        one(server, calls(waits, max_retries=9, max_wait=120))
    seconds, date, capped, past, *nonsense = waits.seconds
    assert 7 <= seconds <= 7.7
    assert 95 <= date <= 111
    assert capped == 120
    assert past == 0
    assert len(nonsense) == 3
    assert all(0.5 <= wait <= 120 for wait in nonsense), "an ordinary wait where the header is none"


def test_a_date_is_measured_by_the_clock_that_is_given():
    request = httpx.Request("GET", "http://x")
    response = httpx.Response(503, headers={"Retry-After": "Sat, 21 Nov 2026 00:00:10 GMT"}, request=request)
    error = httpx.HTTPStatusError("x", request=request, response=response)
    assert retry_after(error, 1_795_219_200.0) == 10.0


def test_errors_of_the_sdk_are_told_apart_like_those_of_httpx():
    library = sys.modules.get("httpx2", httpx)
    request = library.Request("POST", "http://x")

    def status(number: int) -> openai.APIStatusError:
        return openai.APIStatusError("x", response=library.Response(number, request=request), body=None)

    assert [is_transient(status(n)) for n in (400, 401, 408, 409, 425, 429, 500, 599)] == [False, False] + [
        True
    ] * 6
    assert is_transient(openai.APIConnectionError(request=request))
    assert not is_transient(openai.APITimeoutError(request=request)), "a slow server is not asked twice"
    unreached = openai.APITimeoutError(request=request)
    unreached.__cause__ = library.ConnectTimeout("x")
    assert is_transient(unreached), "nothing was asked yet"
    assert is_transient(httpx.ReadError("x"))
    assert not is_transient(httpx.ReadTimeout("x"))
    assert not is_transient(ValueError("a bug"))
    assert not is_transient(CallFailed("said already"))


def test_bugs_are_not_failures_of_the_server():
    async def ask(client: httpx.AsyncClient) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        asyncio.run(calls().call(ask))


# ---- limits -------------------------------------------------------------------------------------


def test_never_more_at_a_time_than_said_and_as_many_as_said():
    async def script(call: Call) -> dict[str, int]:
        await server.gate.wait()
        return {"n": call.body}

    with LoopbackServer(script) as server:

        async def main() -> list[Any]:
            made = calls(concurrency=5)
            running = asyncio.gather(*(made.call(get(server, i)) for i in range(40)))
            await asyncio.to_thread(server.wait_for, lambda s: s.now == 5)
            server.open()
            return await running

        assert asyncio.run(main()) == [{"n": i} for i in range(40)], "answers in the order of the questions"
        assert server.peak == 5


def test_questions_per_minute():
    at = [0.0]
    begun: list[float] = []

    async def sleep(seconds: float) -> None:
        at[0] += seconds

    async def ask(client: httpx.AsyncClient) -> None:
        begun.append(at[0])

    made = calls(sleep, clock=lambda: at[0], requests_per_minute=120)

    async def main() -> None:
        for _ in range(5):
            await made.call(ask)

    asyncio.run(main())
    asyncio.run(main())  # another loop, the same limit
    assert begun == pytest.approx([0.5 * i for i in range(10)])


def test_an_answer_that_never_comes_is_a_failure_and_the_server_is_told():
    async def never(call: Call) -> None:
        await asyncio.Event().wait()

    with LoopbackServer(never) as server:

        async def main() -> None:
            made = Calls(lambda: httpx.AsyncClient(timeout=None), sleep=Waits())
            asked = asyncio.ensure_future(made.call(get(server)))
            await asyncio.to_thread(server.wait_for, lambda s: s.now == 1)
            pass_time(asyncio.get_running_loop(), 600)
            with pytest.raises(CallFailed, match=r"no answer within 600 s"):
                await asked

        asyncio.run(main())
        server.wait_for(lambda s: s.dropped == 1)
        assert len(server.calls) == 1


def test_cancelling_stops_every_request_under_way():
    async def never(call: Call) -> None:
        await asyncio.Event().wait()

    with LoopbackServer(never) as server:

        async def main() -> None:
            made = calls(concurrency=4)
            running = asyncio.ensure_future(made.each([lambda: made.call(get(server))] * 9))
            await asyncio.to_thread(server.wait_for, lambda s: s.now == 4)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await asyncio.to_thread(server.wait_for, lambda s: s.dropped == 4)

        asyncio.run(main())
        assert len(server.calls) == 4, "those in the queue never went out"


def test_one_failure_for_all_stops_the_others():
    async def script(call: Call) -> Answer:
        if call.body == 3:
            return Answer({"error": "bad key"}, 401)
        await asyncio.Event().wait()
        raise AssertionError

    with LoopbackServer(script) as server:

        async def main() -> None:
            made = calls(concurrency=8)
            with pytest.raises(CallFailed, match="HTTP 401"):
                await made.each([lambda i=i: made.call(get(server, i)) for i in range(5)])

        asyncio.run(main())
        server.wait_for(lambda s: s.now == 0)


def test_failures_stand_where_their_questions_stood():
    def script(call: Call) -> Answer:
        return Answer({"n": call.body}, 400 if call.body % 3 == 1 else 200)

    with LoopbackServer(script) as server:

        async def main() -> list[Any]:
            made = calls()
            return await made.each([lambda i=i: made.call(get(server, i)) for i in range(12)])

        found = asyncio.run(main())
    assert [isinstance(reply, CallFailed) for reply in found] == [i % 3 == 1 for i in range(12)]
    assert [reply["n"] for reply in found if not isinstance(reply, CallFailed)] == [
        i for i in range(12) if i % 3 != 1
    ]


def test_the_first_calls_are_sent_before_the_last_are_prepared():
    steps: list[str] = []

    def job(number: int) -> Any:
        async def steps_of_one() -> None:
            steps.append(f"prepared {number}")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            steps.append(f"sent {number}")

        return steps_of_one

    asyncio.run(calls().each([job(number) for number in range(9)]))
    assert steps.index("sent 0") < steps.index("prepared 4")
    assert steps.index("sent 4") < steps.index("prepared 8")


@pytest.mark.parametrize(
    ("option", "value"),
    [("concurrency", 0), ("concurrency", True), ("max_retries", -1), ("timeout", 0),
     ("timeout", float("nan")), ("max_wait", -1), ("requests_per_minute", 0)],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_named(option: str, value: float):
    with pytest.raises(InputError, match=option):
        calls(**{option: value})


# ---- clients and loops --------------------------------------------------------------------------


class Counted(httpx.AsyncClient):
    made = 0
    closed = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1

    async def aclose(self) -> None:
        type(self).closed += 1
        await super().aclose()


@pytest.fixture
def counted() -> type[Counted]:
    Counted.made = Counted.closed = 0
    return Counted


def test_one_client_per_loop_closed_with_its_loop(counted: type[Counted]):
    with LoopbackServer(lambda call: {"n": call.number}) as server:
        made = Calls(counted)
        assert counted.made == 0, "nothing before it is needed"

        async def main() -> None:
            await asyncio.gather(*(made.call(get(server)) for _ in range(6)))

        for round_ in (1, 2, 3):
            asyncio.run(main())
            assert (counted.made, counted.closed) == (round_, round_)
        made.close()
    gc.collect()  # an unclosed socket would warn, and warnings are errors here


def test_many_loops_at_once(counted: type[Counted]):
    with LoopbackServer(lambda call: {"n": call.body}) as server:
        made = Calls(counted)
        wrong: list[Any] = []

        async def main(name: int) -> None:
            found = await asyncio.gather(*(made.call(get(server, name * 100 + i)) for i in range(10)))
            if found != [{"n": name * 100 + i} for i in range(10)]:
                wrong.append(found)

        threads = [threading.Thread(target=lambda i=i: asyncio.run(main(i))) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (wrong, counted.made, counted.closed) == ([], 6, 6)


def test_closing_from_inside_from_outside_and_twice(counted: type[Counted]):
    with LoopbackServer(lambda call: {}) as server:
        made = Calls(counted)

        async def main() -> None:
            await made.call(get(server))
            await asyncio.to_thread(made.close)
            assert counted.closed == 1
            await made.call(get(server))
            await made.aclose()
            await made.aclose()
            assert (counted.made, counted.closed) == (2, 2)
            await made.call(get(server))
            made.close()
            made.close()

        asyncio.run(main())
        assert (counted.made, counted.closed) == (3, 3)
        made.close()


def test_a_client_nobody_holds_is_closed_when_the_next_one_comes(counted: type[Counted]):
    with LoopbackServer(lambda call: {}) as server:

        async def main() -> None:
            for round_ in range(1, 4):
                made = Calls(counted)
                await made.call(get(server))
                assert (counted.made, counted.closed) == (round_, round_ - 1)
                del made

        asyncio.run(main())
        assert (counted.made, counted.closed) == (3, 3), "the last one with its loop"


def test_a_client_in_a_ring_of_garbage_is_closed_on_its_loop(counted: type[Counted]):
    with LoopbackServer(lambda call: {}) as server:

        async def main() -> None:
            ring: list[Any] = [Calls(counted)]
            ring.append(ring)
            await ring[0].call(get(server))
            del ring
            gc.collect()  # must not close the socket behind the loop's back
            await Calls(counted).call(get(server))

        asyncio.run(main())
        assert (counted.made, counted.closed) == (2, 2)


def test_tasks_that_come_while_an_old_client_is_closed_share_the_new_one(counted: type[Counted]):
    with LoopbackServer(lambda call: {}) as server:

        async def main() -> None:
            await Calls(counted).call(get(server))  # nobody holds it any more
            gc.collect()
            made = Calls(counted)
            await made.each([lambda: made.call(get(server)) for _ in range(6)])
            assert (counted.made, counted.closed) == (2, 1)
            await made.aclose()
            assert (counted.made, counted.closed) == (2, 2)

        asyncio.run(main())


# ---- secrets ------------------------------------------------------------------------------------


def test_a_key_the_server_repeats_is_not_repeated(caplog: pytest.LogCaptureFixture):
    with LoopbackServer(lambda call: Answer({"error": f"{'x' * 255} wrong key {KEY}"}, 400)) as server:

        async def ask(client: httpx.AsyncClient) -> None:
            answer = await client.post(f"{server.url}/x", headers={"Authorization": f"Bearer {KEY}"})
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)

        with caplog.at_level("DEBUG"), pytest.raises(CallFailed, match=r"\*\*\*") as caught:
            asyncio.run(calls(secrets=[KEY]).call(ask))
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY[:8] not in str(error) + repr(error)
        error = error.__cause__ or error.__context__
    assert KEY not in caplog.text


def test_it_is_light_to_import():
    modules = "limrank_plugins.backends.remote.calls, limrank_plugins.backends.openai"
    code = f"import {modules}, sys; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"openai", "httpx", "httpx2", "tenacity", "transformers", "torch"}.isdisjoint(found)
