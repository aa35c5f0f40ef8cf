"""What the page can ask and say: plain data in, plain data out, no HTTP."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from limrank_plugins.data import check_unique
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.wording import number_of, verb_for
from limrank_synth.guidelines import Guidelines
from limrank_synth.records import LabelledPassage
from limrank_synth.review.current_decisions import CurrentDecisions
from limrank_synth.review.decision import (
    LONGEST_NOTE,
    REASONS,
    Decision,
    row_hash,
    tidy_name,
)
from limrank_synth.review.decision_log import DecisionLog
from limrank_synth.review.reviewer_agreement import compare, disagreements


class NotFound(LimRankError, LookupError):
    """There is no such row, or nothing to undo."""


class RowChangedError(LimRankError, RuntimeError):
    """The row is not what the reviewer saw."""


class ReviewSession:
    """Rows under review, and the log of what was decided about them. Safe for threads.

    Args:
        rows: all there are; the log may hold decisions on any of them.
        log: where decisions go.
        guidelines: what is shown beside the rows.
        shown: which rows are shown, in this order. Default: all.
        reviewer: who reviews, unless the page says otherwise.

    Raises:
        InputError: two rows with one id, a name that is none, a log that is none.
    """

    def __init__(
        self,
        rows: Sequence[LabelledPassage],
        log: DecisionLog,
        guidelines: Guidelines,
        *,
        shown: Sequence[LabelledPassage] | None = None,
        reviewer: str | None = None,
    ) -> None:
        check_unique([row.id for row in rows], "row id")
        self._rows = {row.id: row for row in (rows if shown is None else shown)}
        self._hashes = {row.id: row_hash(row) for row in rows}
        self._total = len(rows)
        self._guidelines = guidelines
        self._reviewer = None if reviewer is None else tidy_name(reviewer)
        self._log = log
        self._lock = threading.Lock()
        self._standing = CurrentDecisions(self._hashes).add(log.news())

    def overview(self) -> dict[str, Any]:
        """What does not change while the page is open, and what is wrong with the log."""
        with self._lock:
            standing = self._fresh()
            stale = len(standing.stale)
            notices = list(self._log.problems)
            if stale:
                notices.append(
                    f"{number_of(stale, 'decision')} in {self._log.path.name} {verb_for(stale, 'are')} "
                    "on rows that have changed or are gone; "
                    f"they do not count"
                )
            return {
                "rows": [
                    {
                        "id": row.id,
                        "intent": row.intent,
                        "kind": row.kind,
                        "difficulty": row.difficulty,
                        "false_claim": row.false_claim,
                    }
                    for row in self._rows.values()
                ],
                "total": self._total,
                "meaning": dict(self._guidelines.meaning),
                "words": {name: list(limits) for name, limits in self._guidelines.words.items()},
                "reasons": list(REASONS.items()),
                "longest_note": LONGEST_NOTE,
                "reviewer": self._reviewer,
                "reviewers": standing.reviewers,
                "log": self._log.path.name,
                "notices": notices,
            }

    def state(self, reviewer: str) -> dict[str, Any]:
        """What one reviewer decided; of the others only with whom they are at odds, and where."""
        name = tidy_name(reviewer)
        with self._lock:
            standing = self._fresh()
            mine = standing.of(name)
            at_odds = disagreements(standing, [row for row in self._rows if row in mine])
            return {
                "reviewer": name,
                "decisions": {row: _told(entry) for row, entry in mine.items() if row in self._rows},
                "disputed": list(at_odds),
            }

    def row(self, identifier: str, reviewer: str) -> dict[str, Any]:
        """One row with everything known about it, and what this reviewer decided.

        Raises:
            NotFound: there is no such row among those shown.
        """
        name = tidy_name(reviewer)
        row = self._shown(identifier)
        with self._lock:
            entry = self._fresh().of(name).get(identifier)
        return {
            "row": row.as_json(),
            "hash": self._hashes[identifier],
            "decision": None if entry is None else _told(entry) | {"edits": dict(entry.edits)},
        }

    def decide(self, message: dict[str, Any]) -> dict[str, Any]:
        """Write a decision down. Sent twice with the same `id`, it counts once.

        Raises:
            InputError: a field is missing, unknown or senseless.
            NotFound: there is no such row.
            RowChangedError: its hash is another one.
            OSError: the log cannot be written; nothing was decided.
        """
        entry = _entry(message)
        if entry.action == "undo":
            raise InputError("an undo is asked for as such")
        self._shown(entry.row)
        if entry.hash != self._hashes[entry.row]:
            raise RowChangedError(f"row {entry.row!r} has changed since it was shown; reload the page")
        for name, value in entry.edits.items():
            if value == getattr(self._rows[entry.row], name):
                raise InputError(f"the edit does not change the {name}")
        with self._lock:

            def once(news: list[Decision]) -> Decision | None:
                return None if self._standing.add(news).knows(entry.id) else entry

            self._standing.add(self._log.append_if(once))
            return self._after(entry.reviewer, entry.row)

    def undo(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take back a reviewer's last decision that holds, on whichever row shown it was.

        Raises:
            InputError: `id` or `reviewer` is missing or senseless.
            NotFound: there is nothing to take back.
            OSError: the log cannot be written; nothing was undone.
        """
        if set(message) != {"id", "reviewer"}:
            raise InputError(f"an undo has an id and a reviewer, but this has {sorted(message)}")
        row = ""
        with self._lock:

            def once(news: list[Decision]) -> Decision | None:
                nonlocal row
                name = tidy_name(str(message["reviewer"]))
                last = self._standing.add(news).last(name, self._rows)
                if self._standing.knows(str(message["id"])):
                    return None
                if last is None:
                    raise NotFound("there is nothing to undo")
                row = last.row
                return _entry({**message, "action": "undo", "row": row, "hash": last.hash, "undoes": last.id})

            self._standing.add(self._log.append_if(once))
            return self._after(tidy_name(str(message["reviewer"])), row)

    def agreement(self, reviewer: str) -> dict[str, Any]:
        """Every two reviewers' agreement, and the disputed rows among those this one has decided.

        The others' words on a row stay hidden until one has had one's own: it would not be independent.
        """
        name = tidy_name(reviewer)
        with self._lock:
            standing = self._fresh()
            pairs = compare(standing, list(self._rows))
            mine = standing.of(name)
            at_odds = disagreements(standing, [row for row in self._rows if row in mine])
        return {
            "pairs": [asdict(pair) | {"rows": pair.rows} for pair in pairs],
            "disagreements": [
                {"row": row, "decisions": {who: _told(entry) for who, entry in decisions.items()}}
                for row, decisions in at_odds.items()
            ],
        }

    def _fresh(self) -> CurrentDecisions:
        return self._standing.add(self._log.news())

    def _shown(self, identifier: str) -> LabelledPassage:
        try:
            return self._rows[identifier]
        except KeyError:
            raise NotFound(f"there is no row {identifier!r:.200} here") from None

    def _after(self, reviewer: str, row: str) -> dict[str, Any]:
        entry = self._standing.of(reviewer).get(row)
        return {"row": row, "decision": None if entry is None else _told(entry)}


def _entry(message: dict[str, Any]) -> Decision:
    """What the page said, with the time and a tidy name."""
    if not isinstance(message.get("reviewer"), str):
        raise InputError("the decision needs a reviewer")
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Decision.from_json({**message, "reviewer": tidy_name(message["reviewer"]), "time": now})


def _told(entry: Decision) -> dict[str, Any]:
    return {"action": entry.action, "reason": entry.reason, "note": entry.note, "time": entry.time}
