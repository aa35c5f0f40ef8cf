"""The book of calls: what was asked, what came back, what it cost. Nothing in it is asked again."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from limrank_plugins.errors import LimRankError
from limrank_plugins.store import Store
from limrank_synth.asking import Question, Reply

_ANSWERS = "synth answers"
_FAILED = "synth failed calls"
_OPEN = "synth open calls"
_FAULTS = "synth faults"


class Ledger:
    """The answers of one run, in its store. Each is committed when it arrives, before anybody reads it.

    A call is opened before it is sent and closed when it is known what it cost. One that was open when
    the process died, or whose answer came too late, may have been charged for: `uncertain` holds what
    such calls can have cost at most.

    Args:
        store: where it is kept; yours to close.

    Attributes:
        cost: dollars of all committed answers.
        calls: how many answers there are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_role: dict[str, dict[str, float]] = {}
        self.cost = 0.0
        self.calls = 0
        for _, packed in store.each(_ANSWERS):
            entry = json.loads(packed)
            self._count(entry["role"], Reply(**entry["reply"]))
        owed = ((key, float(dollars)) for key, dollars in store.each(_OPEN))
        self._owed = {key: dollars for key, dollars in owed if dollars > 0}

    @property
    def uncertain(self) -> float:
        """Dollars that calls without an answer may have cost."""
        return math.fsum(self._owed.values())

    @property
    def spent(self) -> float:
        """Dollars that must be taken for spent."""
        return self.cost + self.uncertain

    def find(self, key: str) -> Reply | None:
        """The committed reply to the question with this key."""
        packed = self._store.find(_ANSWERS, key)
        return None if packed is None else Reply(**json.loads(packed)["reply"])

    def open(self, key: str, most: float) -> None:
        """Write down that a call is about to be sent that may cost so many dollars."""
        if most > 0:
            self._owe(key, most)

    def close(self, key: str, most: float) -> None:
        """Write down that it is known what the call did cost, or that it cost nothing."""
        if most > 0:
            self._owe(key, -most)

    def commit(self, key: str, question: Question, model: str, reply: Reply) -> None:
        """Write an answer down; it stands from now on.

        Raises:
            LimRankError: the file cannot be written.
        """
        entry = {
            "role": question.role,
            "model": model,
            "attempt": question.attempt,
            "sample": question.sample,
            "outcome": "answered",
            "reply": asdict(reply),
        }
        self._write(_ANSWERS, key, entry)
        self._count(question.role, reply)

    def note_failure(self, key: str, question: Question, model: str, reason: str) -> None:
        """Write down that a call failed for good in this run; the next run asks again."""
        self._write(
            _FAILED, key, {"role": question.role, "model": model, "outcome": "failed", "reason": reason}
        )

    def note_fault(self, kind: str) -> None:
        """Count something that went wrong between us and a server, whether or not it was repaired."""
        self._write(_FAULTS, kind, {})

    def faults(self) -> dict[str, int]:
        """How often what went wrong, by kind."""
        return dict(sorted(self._store.computed(_FAULTS).items()))

    def failures(self) -> dict[str, str]:
        """The reasons of calls that failed and were never answered since, by key."""
        failed = {}
        for key, packed in self._store.each(_FAILED):
            if self._store.find(_ANSWERS, key) is None:
                failed[key] = str(json.loads(packed)["reason"])
        return failed

    def by_role(self) -> dict[str, dict[str, float]]:
        """Calls, tokens and dollars by role."""
        return {role: dict(self._by_role[role]) for role in sorted(self._by_role)}

    def _count(self, role: str, reply: Reply) -> None:
        self.cost += reply.cost
        self.calls += 1
        row = self._by_role.setdefault(
            role, {"calls": 0, "prompt_tokens": 0, "written_tokens": 0, "cost": 0.0}
        )
        row["calls"] += 1
        row["prompt_tokens"] += reply.prompt_tokens
        row["written_tokens"] += reply.written_tokens
        row["cost"] += reply.cost

    def _owe(self, key: str, dollars: float) -> None:
        # What an earlier process left open for the same question stays.
        owed = self._owed.pop(key, 0.0) + dollars
        if owed > abs(dollars) * 1e-9:  # else it is what rounding leaves of nothing
            self._owed[key] = owed
        with self._writing():
            self._store.commit(_OPEN, key, repr(self._owed.get(key, 0.0)).encode("ascii"))

    def _write(self, job: str, item: str, entry: dict[str, object]) -> None:
        with self._writing():
            self._store.commit(job, item, json.dumps(entry, ensure_ascii=True).encode("ascii"))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LimRankError(f"the ledger {self._store.path} cannot be written: {error}") from error
