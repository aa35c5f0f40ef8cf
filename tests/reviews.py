"""Decisions for tests."""

from __future__ import annotations

from typing import Any

from limrank_synth.records import LabelledPassage
from limrank_synth.review.current_decisions import CurrentDecisions
from limrank_synth.review.decision import Decision, row_hash

_made = iter(range(10**9))


def decision(row: LabelledPassage, reviewer: str = "ann", action: str = "accept", **fields: Any) -> Decision:
    """A decision on a row as it is; a rejection needs no reason here."""
    defaults: dict[str, Any] = {"hash": row_hash(row)} | ({"reason": "broken"} if action == "reject" else {})
    return Decision(
        id=f"entry-{next(_made):08}",
        time="2026-11-21T00:00:00.000+00:00",
        reviewer=reviewer,
        row=row.id,
        action=action,
        **(defaults | fields),
    )


def current_decisions_of(rows: list[LabelledPassage], *entries: Decision) -> CurrentDecisions:
    """What holds after these."""
    return CurrentDecisions({row.id: row_hash(row) for row in rows}).add(entries)
