"""A backend whose calls have a price: each is paid for at its dearest before it is sent."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from limrank_plugins.backends.asking import check_count
from limrank_plugins.backends.in_thread import ask_in_thread
from limrank_plugins.backends.protocols import Arrived, Backend, Closes, Failed, Generate, Generates, Reply
from limrank_plugins.backends.request_keys import request_key
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.ledger import Ledger
from limrank_plugins.prices import Price
from limrank_plugins.store import NotKept
from limrank_plugins.wording import in_dollars

_FRAME = 256
"""Tokens that a server may put around a chat: markers, and the default system prompt of a model."""


class OverBudget(LimRankError, RuntimeError):
    """What is left does not pay for another call, and none is under way that could turn out cheaper."""


def most_tokens(request: Generate) -> tuple[int, int]:
    """Upper bounds of a request's tokens: of its prompt, and of what is written.

    No token is shorter than a byte, a message's frame is a few tokens, and no more is written than the
    request allows.
    """
    # A space is put into every marker of at least three bytes that a text holds: a third more at most.
    sizes = [len(segment.text.encode("utf-8", "replace")) for segment in request.prompt.segments]
    return sum(size + size // 3 + 16 for size in sizes) + _FRAME, request.max_tokens


class Purse:
    """Dollars that may still be spent. Safe for threads.

    Args:
        max_cost: dollars for all of it, earlier parts of the job included; None for no limit.
        cost: dollars that earlier parts cost.
    """

    def __init__(self, max_cost: float | None = None, *, cost: float = 0.0) -> None:
        if max_cost is not None:
            finite_number("max_cost", max_cost, above=0)
        self.cost = cost
        self._max_cost = math.inf if max_cost is None else max_cost
        self._stopped: str | None = None
        self._reserved: dict[object, float] = {}
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._lock = threading.Lock()

    async def reserve(self, cost: float, *, wait: bool = True) -> object:
        """Put dollars aside; waits for calls under way where they may leave enough.

        Returns:
            What `settle` takes to give them back.

        Raises:
            OverBudget: they cannot, there is not enough now and `wait` is False, or `stop` was called.
        """
        while True:
            loop = asyncio.get_running_loop()
            with self._lock:
                if self._stopped is not None:
                    raise OverBudget(self._stopped)
                # Summed anew: what is added and taken off again leaves rounding behind.
                if self.cost + math.fsum(self._reserved.values()) + cost <= self._max_cost:
                    reservation = object()
                    self._reserved[reservation] = cost
                    return reservation
                if not self._reserved or not wait:
                    break
                settled: asyncio.Future[None] = loop.create_future()
                self._waiting.append((loop, settled))
            await settled
        raise OverBudget(
            f"{in_dollars(self.cost)} of {in_dollars(self._max_cost)} are spent, and the next call may "
            f"cost {in_dollars(cost)}"
        )

    def settle(self, reservation: object, cost: float) -> None:
        """Give back what was put aside, and note what was spent; a second time does nothing."""
        with self._lock:
            if self._reserved.pop(reservation, None) is None:
                return
            self.cost += cost
        self._wake_all()

    def stop(self, reason: str) -> None:
        """Spend nothing more: what is reserved from now on, or waits for it, is refused for this reason."""
        with self._lock:
            self._stopped = reason
        self._wake_all()

    def _wake_all(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, settled in waiting:
            with suppress(RuntimeError):  # a loop that was closed has nobody left who waits
                loop.call_soon_threadsafe(_wake, settled)


def _wake(settled: asyncio.Future[None]) -> None:
    if not settled.done():
        settled.set_result(None)


class Slots:
    """Places for calls in flight, so many on every event loop.

    Args:
        number: how many; at least 1.
    """

    def __init__(self, number: int) -> None:
        self._number = whole_number("concurrency", number, least=1)
        self._on: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def here(self) -> asyncio.Semaphore:
        """The running loop's places."""
        with self._lock:
            return self._on.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._number))


class _OpenCall(NamedTuple):
    """A call paid for at its dearest: its request's key, its names in the books, what was put aside."""

    key: str
    name: str
    reservation: object
    cost: float


class Metered:
    """A backend that writes, with a price on every call.

    Each request is paid for at its dearest before it is sent. Its reply is handed on (to the store) first
    and then written down as paid: a kill in between counts a call twice rather than not at all. A reply that
    could not be kept is written down as paid, too.

    Args:
        backend: who is asked.
        price: what its tokens cost.
        purse: what may be spent; shared by everything that is to be held together. Default: no limit.
        ledger: where calls are written down; default: nowhere.
        role: what the model is asked as, for the ledger.
        model: its name, for the ledger.
        concurrency: calls of a served model in flight at a time; `Slots` where several backends share
            them. A local model is asked in one batch.
        identity: what keys its replies; default: the backend's own.
    """

    def __init__(
        self,
        backend: Backend,
        price: Price,
        purse: Purse | None = None,
        ledger: Ledger | None = None,
        *,
        role: str = "",
        model: str = "",
        concurrency: int | Slots = 16,
        identity: str | None = None,
    ) -> None:
        if not isinstance(backend, Generates):
            raise InputError(f"backend {backend.name!r} cannot write, so there is nothing to be paid for")
        self.name = backend.name
        self.identity = backend.identity if identity is None else identity
        self.backend: Any = backend
        self.price = price
        self._purse = purse if purse is not None else Purse()
        self._ledger, self.role, self.model = ledger, role, model
        self._slots = concurrency if isinstance(concurrency, Slots) else Slots(concurrency)

    async def generate(self, requests: Sequence[Generate], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each with a `Generated`, whose usage says what it cost, or `Failed`.

        Raises:
            OverBudget: what is left does not pay for a request; those under way were finished and stored.
            NotKept: who is told of the replies cannot keep one. It is paid for; nothing more is asked.
        """
        tell: Arrived = arrived if arrived is not None else lambda position, reply: None
        if self.is_served:
            calls = [self._call(position, request, tell) for position, request in enumerate(requests)]
            replies = await asyncio.gather(*calls, return_exceptions=True)
        else:
            replies = await self._batch(requests, tell)
        # A budget that ran out must not hide what is a defect, nor a defect the replies that came.
        problems = [reply for reply in replies if isinstance(reply, BaseException)]
        for problem in sorted(problems, key=lambda problem: isinstance(problem, OverBudget)):
            raise problem
        return [reply for reply in replies if not isinstance(reply, BaseException)]

    @property
    def is_served(self) -> bool:
        """Whether its model is asked call by call rather than in batches."""
        return inspect.iscoroutinefunction(self.backend.generate)

    def close(self) -> None:
        """Release the model. May be called twice."""
        if isinstance(self.backend, Closes):
            self.backend.close()

    # ---- a served model: call by call ----------------------------------------------------------

    async def _call(self, position: int, request: Generate, arrived: Arrived) -> Reply:
        async with self._slots.here():
            call = await self._open(request)
            try:
                replies = await self.backend.generate([request])
                check_count(self, replies, [request])
            except LimRankError:  # it concerns every call: a wrong key, address or model; nothing was asked
                self._release(call)
                raise
            except BaseException:  # nobody saw its end: it stays open in the ledger
                self._purse.settle(call.reservation, call.cost)
                raise
            return self._settle(call, replies[0], position, arrived)

    # ---- a local model: as many at a time as the purse allows ----------------------------------

    async def _batch(self, requests: Sequence[Generate], arrived: Arrived) -> list[Reply | BaseException]:
        replies: list[Reply | BaseException] = []
        while len(replies) < len(requests):
            start = len(replies)
            calls: list[_OpenCall] = []
            try:
                for request in requests[start:]:
                    # What this batch itself has put aside must not be waited for.
                    calls.append(await self._open(request, wait=not calls))
            except OverBudget:
                if not calls:
                    raise
            except BaseException:
                self._release(*calls)
                raise
            replies += await self._admitted(calls, requests[start : start + len(calls)], start, arrived)
        return replies

    async def _admitted(
        self, calls: Sequence[_OpenCall], requests: Sequence[Generate], start: int, arrived: Arrived
    ) -> list[Reply]:
        known: dict[int, Reply] = {}

        def settle(position: int, reply: Reply) -> None:
            if position not in known:
                known[position] = self._settle(calls[position], reply, start + position, arrived)

        try:
            replies = await ask_in_thread(self.backend.generate, list(requests), settle)
            check_count(self, replies, requests)
            for position, reply in enumerate(replies):
                settle(position, reply)
        except BaseException:  # a model in this process charges nothing for what it did not write
            self._release(*calls)
            raise
        return [known[position] for position in range(len(calls))]

    # ---- the books ------------------------------------------------------------------------------

    async def _open(self, request: Generate, *, wait: bool = True) -> _OpenCall:
        cost = self.price.cost(*most_tokens(request))
        reservation = await self._purse.reserve(cost, wait=wait)
        key, name = "", ""
        if self._ledger is not None:
            try:
                key = request_key(self.identity, request).hex()
                name = self._ledger.open(key, cost)
            except BaseException:
                self._purse.settle(reservation, 0.0)
                raise
        return _OpenCall(key, name, reservation, cost)

    def _release(self, *calls: _OpenCall) -> None:
        """Calls that cost nothing; those that were settled before stay as they are."""
        for call in calls:
            self._purse.settle(call.reservation, 0.0)
            if self._ledger is not None:
                self._ledger.close(call.name)

    def _settle(self, call: _OpenCall, reply: Reply, position: int, arrived: Arrived) -> Reply:
        usage = reply.usage
        cost = self.price.cost(usage.prompt_tokens, usage.generated_tokens, usage.shared_tokens)
        uncertain = max(usage.uncertain, int(isinstance(reply, Failed) and reply.charged))
        # What nobody knows the cost of (a server may not say) is taken to be as dear as it can be.
        if usage.prompt_tokens + usage.generated_tokens == 0 and not isinstance(reply, Failed):
            cost = call.cost
        # A price of nothing is one that nobody gave: what the backend itself knows stands.
        known = self.price != Price()
        reply = replace(reply, usage=replace(usage, cost=cost, priced=1) if known else usage)
        try:
            if not isinstance(reply, Failed):
                arrived(position, reply)
        except NotKept as error:  # what comes after it would be paid for and lost, too
            self._purse.stop(str(error))
            raise
        finally:
            try:
                self._book(call, reply, replace(usage, cost=cost), uncertain)
            finally:
                self._purse.settle(call.reservation, cost + uncertain * call.cost)
        return reply

    def _book(self, call: _OpenCall, reply: Reply, usage: Usage, uncertain: int) -> None:
        """Write down what a call cost, and that it is no longer open."""
        if self._ledger is None:
            return
        usable = not isinstance(reply, Failed)
        if isinstance(reply, Failed):
            self._ledger.note_failure(call.key, self.role, self.model, reply.reason)
        if usage.cost > 0 or usable:
            self._ledger.pay(call.key, self.role, self.model, usage, usable=usable)
        for _ in range(uncertain):
            self._ledger.doubt(call.key, call.cost)
        self._ledger.close(call.name)
