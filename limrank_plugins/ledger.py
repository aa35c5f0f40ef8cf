"""The book of paid calls: what each reply cost, which calls are open, what went wrong on the way."""

from __future__ import annotations

import json
import math
import secrets
from typing import Any

from limrank_plugins.data import Usage
from limrank_plugins.errors import LimRankError
from limrank_plugins.jobs import reading_entry
from limrank_plugins.store import NotKept, Store
from limrank_plugins.wording import exact_dollars

_PAID = "paid calls"
_FAILED = "failed calls"
_OPEN = "open calls"
_FAULTS = "call faults"
_BATCHED = "batched calls"
_RESULTS = "batch results"


class Ledger:
    """The paid calls of a job, in its store, beside the replies themselves.

    A call is opened before it is sent and closed once it is known what it cost. One that was open when
    the process died, whose reply came too late or was cut off, or that waits in a batch file may be charged
    for: `uncertain` holds what such calls can cost at most.

    Args:
        store: where it is kept; yours to close.

    Attributes:
        cost: dollars of all replies.
        tokens: tokens read and written for all replies.
        calls: how many replies were paid for.
        sent: calls that this process sent.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_role: dict[str, dict[str, float]] = {}
        self.cost, self.tokens, self.calls, self.sent = 0.0, 0, 0, 0
        self._paid: set[str] = set()
        for call, packed in store.each(_PAID):
            with reading_entry(store, call):
                bill = json.loads(packed)
                if bill.get("usable", True):
                    self._paid.add(call.partition(" ")[0])
                self._count(bill)
        self._owed: dict[str, float] = {}
        for call, packed in store.each(_OPEN):
            with reading_entry(store, call):
                if (dollars := float(packed)) > 0:
                    self._owed[call] = dollars
        self._batched: dict[str, str] = {}
        for key, packed in store.each(_BATCHED):
            with reading_entry(store, key):
                if call := packed.decode("ascii"):
                    self._batched[key] = call

    @property
    def uncertain(self) -> float:
        """Dollars that calls without a reply may have cost."""
        return math.fsum(self._owed.values())

    @property
    def uncertain_calls(self) -> int:
        """How many calls without a reply may have cost something."""
        return len(self._owed)

    @property
    def batched(self) -> frozenset[str]:
        """Keys of the requests that wait in batch files for their results."""
        return frozenset(self._batched)

    @property
    def spent(self) -> float:
        """Dollars that must be taken for spent."""
        return self.cost + self.uncertain

    def open(self, key: str, most: float) -> str:
        """Write down that a call is about to be sent that may cost so many dollars; returns its name."""
        self.sent += 1
        return self.doubt(key, most)

    def doubt(self, key: str, most: float) -> str:
        """Write down that a call may cost so many dollars, or may have; returns its name."""
        call = f"{key} {secrets.token_hex(6)}"
        self._owe(call, most)
        return call

    def close(self, call: str) -> None:
        """Write down that it is known what the call did cost, or that it cost nothing."""
        if self._owed.pop(call, 0.0) > 0:
            self._commit(_OPEN, call, repr(0.0))

    def put_in_batch(self, key: str, mark: str, most: float) -> None:
        """Write down that a request waits in a batch file, and may cost so many dollars.

        One that waits in a file of before waits there no longer.

        Args:
            key: of the request.
            mark: tells this file's request from those of other files with the same key.
            most: dollars.
        """
        self.close(self._batched.get(key, ""))
        call = f"{key} {mark}"
        self._owe(call, most)
        self._commit(_BATCHED, key, call)
        self._batched[key] = call

    def waits(self, key: str, mark: str) -> bool:
        """Whether the request with that mark waits for its result."""
        return self._batched.get(key) == f"{key} {mark}"

    def take_from_batch(self, key: str, *, is_known: bool) -> None:
        """Write down that a request's result came in, and whether it is known what it cost."""
        call = self._batched.pop(key)
        if is_known:
            self.close(call)
        self._commit(_BATCHED, key, "")

    def is_booked(self, result: str) -> bool:
        """Whether this result of a batch, named by a digest of it, is in the book."""
        return self._store.find(_RESULTS, result) is not None

    def book(self, result: str) -> None:
        """Write down that this result of a batch is in the book."""
        self._commit(_RESULTS, result, "")

    def pay(self, key: str, role: str, model: str, usage: Usage, *, usable: bool = True) -> None:
        """Write down what a reply cost.

        Args:
            key: of the request.
            role: what the model was asked as, in words of the caller's.
            model: its name.
            usage: its tokens and dollars.
            usable: whether the reply is one; else the call has failed all the same.

        Raises:
            NotKept: the file cannot be written.
        """
        bill = {
            "role": role,
            "model": model,
            "prompt_tokens": usage.prompt_tokens,
            "written_tokens": usage.generated_tokens,
            "cost": usage.cost,
            "usable": usable,
        }
        # An entry of its own: a request that was paid for twice cost twice.
        self._write(_PAID, f"{key} {secrets.token_hex(6)}", bill)
        if usable:
            self._paid.add(key)
        self._count(bill)

    def note_failure(self, key: str, role: str, model: str, reason: str) -> None:
        """Write down that a call failed for good in this run; the next run asks again."""
        self._write(_FAILED, key, {"role": role, "model": model, "reason": reason})

    def note_fault(self, kind: str) -> None:
        """Count something that went wrong between us and a server, whether or not it was repaired."""
        self._write(_FAULTS, kind, {})

    def faults(self) -> dict[str, int]:
        """How often what went wrong, by kind."""
        return dict(sorted(self._store.computed(_FAULTS).items()))

    def failures(self) -> dict[str, str]:
        """The reasons of calls that failed and were never paid for since, by key."""
        reasons = {}
        for key, packed in self._store.each(_FAILED):
            with reading_entry(self._store, key):
                if key not in self._paid:
                    reasons[key] = str(json.loads(packed)["reason"])
        return reasons

    def by_role(self) -> dict[str, dict[str, float]]:
        """Calls, tokens and dollars by role."""
        rows = sorted(self._by_role.items())
        return {role: row | {"cost": exact_dollars(row["cost"])} for role, row in rows}

    def _owe(self, call: str, most: float) -> None:
        if most > 0:
            self._commit(_OPEN, call, repr(most))
            self._owed[call] = most

    def _count(self, bill: dict[str, Any]) -> None:
        prompt_tokens, written_tokens, cost = (
            bill[name] for name in ("prompt_tokens", "written_tokens", "cost")
        )
        self.cost += cost
        self.tokens += prompt_tokens + written_tokens
        self.calls += 1
        row = self._by_role.setdefault(
            bill["role"], {"calls": 0, "prompt_tokens": 0, "written_tokens": 0, "cost": 0.0}
        )
        row["calls"] += 1
        row["prompt_tokens"] += prompt_tokens
        row["written_tokens"] += written_tokens
        row["cost"] += cost

    def _write(self, job: str, item: str, entry: dict[str, Any]) -> None:
        self._commit(job, item, json.dumps(entry, ensure_ascii=True))

    def _commit(self, job: str, item: str, text: str) -> None:
        try:
            self._store.commit(job, item, text.encode("ascii"))
        except LimRankError as error:
            raise NotKept(f"the ledger {self._store.path} cannot be written: {error}") from error
