"""Calls to servers: one client per event loop, bounded, retried, rate-limited, cancellable.

`Calls` knows no protocol. It is given a function that makes a client (of the openai SDK, or httpx)
and then runs calls against it; every room that talks to a server goes through it.

What is asked again: HTTP 408, 409, 425, 429 and 5xx, and connections that were refused, reset or
broken off, with jittered exponential waits or the server's own `Retry-After`. What is not: any other
status, a spent quota (a 429 that says so), a reply that came but makes no sense, and a reply that did
not come within `timeout` (a server that is too slow is not helped by being asked twice). Tries that may
have been charged for without a usable reply are counted, repeated or not; see `faults.may_be_charged`.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from limrank_plugins.backends.counting import note
from limrank_plugins.backends.remote.faults import (
    CallFailed,
    brief,
    complaint_of,
    found_in,
    hopeless,
    is_fault,
    is_transient,
    is_unreachable,
    kind_of,
    may_be_charged,
    retry_after,
    status_of,
    timed_out,
    unreachable,
)
from limrank_plugins.backends.remote.loops import PerLoop
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import require
from limrank_plugins.secrecy import LONG, redacted

if TYPE_CHECKING:
    from tenacity import RetryCallState

Client = TypeVar("Client")
T = TypeVar("T")
Ask = Callable[[Client], Awaitable[T]]

_FIRST_RETRIES = 2
_FIRST_WAIT = 1.0
_WORD = re.compile(r"\w")


class _Lane(Generic[Client]):
    """What belongs to one event loop."""

    def __init__(self, client: Client, concurrency: int) -> None:
        self.client = client
        self.slots = asyncio.Semaphore(concurrency)

    async def aclose(self) -> None:
        client: Any = self.client
        await (client.aclose() if hasattr(client, "aclose") else client.close())


class Calls(Generic[Client]):
    """Runs calls against one server. Safe for threads, each with an event loop of its own.

    The client of a loop is made when it is first needed; see `loops.PerLoop` for when it is closed.

    Args:
        make: makes a client; called once per event loop, on that loop. Its own retries must be off.
        concurrency: calls in flight at a time, per loop.
        requests_per_minute: calls begin at least 60/this seconds apart, retries included, over
            all loops; None for no limit.
        max_retries: times a call is asked again.
        timeout: seconds for one attempt, from sending to the last byte.
        max_wait: seconds between attempts at most, whatever `Retry-After` says.
        secrets: strings that must not appear in any message, replaced by `***`.
        key_name: the environment variable that the key is read from, for messages.
        on_fault: told the kind of everything that goes wrong with an attempt, whether or not another
            one succeeds; see `faults.kind_of`.
        sleep, clock, now: for tests: asynchronous wait, monotonic seconds, seconds since 1970.

    Raises:
        InputError: a number that makes no sense.
        MissingExtra: tenacity is not installed.
    """

    def __init__(
        self,
        make: Callable[[], Client],
        *,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        max_retries: int = 5,
        timeout: float = 600.0,
        max_wait: float = 60.0,
        secrets: Sequence[str] = (),
        key_name: str = "OPENAI_API_KEY",
        on_fault: Callable[[str], None] = lambda kind: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        whole_number("concurrency", concurrency, least=1)
        whole_number("max_retries", max_retries, least=0)
        finite_number("timeout", timeout, above=0)
        finite_number("max_wait", max_wait, above=0)
        if requests_per_minute is not None:
            finite_number("requests_per_minute", requests_per_minute, above=0)
        self._tenacity = require("tenacity", "openai", "a client for model servers")
        self._lanes = PerLoop(lambda: _Lane(make(), concurrency))
        self._spacing = 60.0 / requests_per_minute if requests_per_minute is not None else 0.0
        self._max_retries = max_retries
        self._timeout = timeout
        self._max_wait = max_wait
        self._secrets = tuple(secrets)
        self._key_name = key_name
        self._on_fault = on_fault
        self._sleep, self._clock, self._now = sleep, clock, now
        self._lock = threading.Lock()
        self._free_at = -math.inf
        self._is_reached = False

    # ---- asking ---------------------------------------------------------------------------------

    async def call(self, ask: Ask[Client, T], *, first: bool = False) -> T:
        """Make one call, again where that may help.

        Args:
            ask: takes the client, returns the answer; called once per attempt. A `CallFailed` it
                raises itself (an answer that makes no sense) is passed on and not asked again.
            first: nothing has come from this server yet. Where it cannot be reached, that is told
                within seconds, after two more tries, and concerns every call.

        Raises:
            CallFailed: there is no answer.
        """
        lane = await self._lanes.get()

        async def attempt() -> T:
            async with lane.slots:
                await self._turn()
                try:
                    async with asyncio.timeout(self._timeout):
                        return await ask(lane.client)
                except Exception as error:
                    kind = kind_of(error)
                    if kind is not None:
                        self._on_fault(kind)
                    if may_be_charged(error):
                        note(Usage(uncertain=1))
                    raise

        tries = self._tenacity.AsyncRetrying(
            sleep=self._sleep,
            stop=partial(_enough, most=self._max_retries, first=first),
            retry=self._tenacity.retry_if_exception(is_transient),
            wait=partial(_pause, now=self._now, most=self._max_wait, first=first),
            reraise=True,
        )
        try:
            answer: T = await tries(attempt)
        except CallFailed:
            raise
        except Exception as error:
            failure = found_in(error)
            if failure is None and not is_fault(error):
                raise
            if failure is None:
                failure = self._failure(error, tries.statistics.get("attempt_number", 1), first)
        else:
            return answer
        # Raised outside the handler: the library's own error holds the request, and with it the key.
        raise failure

    async def reach(self, ask: Ask[Client, T]) -> T:
        """`call`; a server that was never reached, or not by the last call, is told within seconds."""
        try:
            answer = await self.call(ask, first=not self._is_reached)
        except CallFailed as failure:
            self._is_reached = failure.status is not None or failure.late
            raise
        self._is_reached = True
        return answer

    async def each(self, jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T | CallFailed]:
        """Run many jobs, each of one or more calls; results and failures come in the order of the jobs.

        Cancelling it cancels every call that is under way.

        Raises:
            CallFailed: one that concerns every call; the other jobs are cancelled.
        """

        async def outcome_of(job: Callable[[], Awaitable[T]]) -> T | CallFailed:
            try:
                return await job()
            except CallFailed as failure:
                if failure.fatal:
                    raise
                return failure

        first: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for job in jobs:
                    tasks.append(group.create_task(outcome_of(job)))
                    await asyncio.sleep(0)  # the first calls are sent before the last ones are prepared
        except ExceptionGroup as several:
            first = several.exceptions[0]
        if first is not None:
            raise first
        return [task.result() for task in tasks]

    def redact(self, text: str) -> str:
        """The text with every secret replaced."""
        return redacted(text, self._secrets)

    def read_reply(self, response: Any) -> str:
        """The text of a response, in the encoding that its content-type names, else UTF-8.

        Every secret is replaced that is too long to be a word of it by chance, and at once: whatever is
        quoted from it later, in whatever length, holds no key.

        Raises:
            CallFailed: it is not in that encoding.
        """
        encoding = getattr(response, "http_response", response).encoding  # the SDK wraps the library's
        try:
            text = response.content.decode(encoding)
        except (LookupError, UnicodeError) as error:
            raise CallFailed(
                f"the server's reply cannot be read ({brief(str(error))}): its content-type must name the "
                f"encoding that it is in, if that is not UTF-8",
                200,
            ) from None
        text = text.removeprefix("\ufeff")  # some servers write a byte order mark, which is no JSON
        return redacted(text, [secret for secret in self._secrets if len(secret) >= LONG])

    async def aclose(self) -> None:
        """Close the running loop's client. May be called twice; a later call makes a new one."""
        await self._lanes.aclose()

    def close(self) -> None:
        """Close the clients of all loops. May be called twice, from any thread."""
        self._lanes.close()

    # ---- waiting --------------------------------------------------------------------------------

    async def _turn(self) -> None:
        """Wait until the rate limit lets the next call begin."""
        if not self._spacing:
            return
        with self._lock:
            begin = max(self._clock(), self._free_at)
            self._free_at = begin + self._spacing
        if (wait := begin - self._clock()) > 0:
            await self._sleep(wait)

    def _failure(self, error: BaseException, attempts: int, first: bool) -> CallFailed:
        status, advice = status_of(error), hopeless(error, self._key_name)
        if advice is None and first and is_unreachable(error):
            advice = unreachable(error)
        reason, complaint = self._reason(error, attempts), complaint_of(error)
        return CallFailed(
            reason if advice is None else f"{reason}; {advice}",
            status,
            late=timed_out(error) and not is_unreachable(error),
            fatal=advice is not None,
            complaint=complaint._replace(message=self.redact(complaint.message)),
        )

    def _reason(self, error: BaseException, attempts: int) -> str:
        status = status_of(error)
        if is_unreachable(error):
            what = f"no connection: {_named(error)}"
        elif timed_out(error):
            what = f"no answer within {self._timeout:g} s"
        elif status is not None:
            # The openai SDK begins with the status, too, and says no more of a body that is a list.
            words = str(error).removeprefix(f"Error code: {status}").removeprefix(" - ")
            words = words or complaint_of(error).message
            what = f"HTTP {status}: {words}" if _WORD.search(words) else f"HTTP {status}"
        else:
            what = _named(error)
        # Redacted before it is shortened, or half a key would be left. Whoever tells it ends the sentence.
        what = brief(self.redact(what)).rstrip(".")
        return what if attempts < 2 else f"{what} (asked {attempts} times)"


def _named(error: BaseException) -> str:
    """The kind of an error and its words: those of its cause, where the SDK says only "Connection error."."""
    wrapped = type(error).__name__ == "APIConnectionError"
    cause = (error.__cause__ if wrapped else None) or error
    return f"{type(cause).__name__}: {cause}"


def _enough(state: RetryCallState, *, most: int, first: bool) -> bool:
    """Whether a call has been asked often enough."""
    error = state.outcome.exception() if state.outcome is not None else None
    if first and error is not None and is_unreachable(error):
        # A host that does not even refuse has taken its time already.
        most = 0 if timed_out(error) else min(most, _FIRST_RETRIES)
    return state.attempt_number > most


def _pause(state: RetryCallState, *, now: Callable[[], float], most: float, first: bool) -> float:
    """Seconds until the next attempt. Holds no `Calls`: tenacity's objects hold each other in a ring."""
    error = state.outcome.exception() if state.outcome is not None else None
    wanted = retry_after(error, now()) if error is not None else None
    if wanted is not None:  # a little later than asked, so that not all come back at one moment
        return min(wanted * random.uniform(1.0, 1.1), most)
    if first and error is not None and is_unreachable(error):
        most = min(most, _FIRST_WAIT)
    return random.uniform(0.5, 1.0) * min(2.0 ** (state.attempt_number - 1), most)
