"""The book of calls: what was asked, what came back, what it cost. Nothing in it is asked again."""

from __future__ import annotations

import json
from dataclasses import asdict

from limrank_plugins.store import Store
from limrank_synth.asking import Question, Reply

_ANSWERS = "synth answers"
_FAILED = "synth failed calls"


class Ledger:
    """The answers of one run, in its store. Each is committed when it arrives, before anybody reads it.

    Args:
        store: where it is kept; yours to close.

    Attributes:
        cost: dollars of all committed answers.
        calls: how many answers there are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cost = 0.0
        self.calls = 0
        for _, packed in store.each(_ANSWERS):
            self.cost += json.loads(packed)["reply"]["cost"]
            self.calls += 1

    def find(self, key: str) -> Reply | None:
        """The committed reply to the question with this key."""
        packed = self._store.find(_ANSWERS, key)
        return None if packed is None else Reply(**json.loads(packed)["reply"])

    def commit(self, key: str, question: Question, model: str, reply: Reply) -> None:
        """Write an answer down; it stands from now on."""
        entry = {
            "role": question.role,
            "model": model,
            "attempt": question.attempt,
            "sample": question.sample,
            "outcome": "answered",
            "reply": asdict(reply),
        }
        self._store.commit(_ANSWERS, key, json.dumps(entry, ensure_ascii=True).encode("ascii"))
        self.cost += reply.cost
        self.calls += 1

    def note_failure(self, key: str, question: Question, model: str, reason: str) -> None:
        """Write down that a call failed for good in this run; the next run asks again."""
        entry = {"role": question.role, "model": model, "outcome": "failed", "reason": reason}
        self._store.commit(_FAILED, key, json.dumps(entry, ensure_ascii=True).encode("ascii"))

    def failures(self) -> dict[str, str]:
        """The reasons of calls that failed and were never answered since, by key."""
        failed = {}
        for key, packed in self._store.each(_FAILED):
            if self._store.find(_ANSWERS, key) is None:
                failed[key] = str(json.loads(packed)["reason"])
        return failed

    def by_role(self) -> dict[str, dict[str, float]]:
        """Calls, tokens and dollars by role."""
        totals: dict[str, dict[str, float]] = {}
        for _, packed in self._store.each(_ANSWERS):
            entry = json.loads(packed)
            reply = entry["reply"]
            row = totals.setdefault(
                entry["role"], {"calls": 0, "prompt_tokens": 0, "written_tokens": 0, "cost": 0.0}
            )
            row["calls"] += 1
            for name in ("prompt_tokens", "written_tokens", "cost"):
                row[name] += reply[name]
        return totals
