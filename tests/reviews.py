"""Decisions for tests."""

from __future__ import annotations

from typing import Any

from limrank_synth.records import Row
from limrank_synth.review.decisions import Entry, row_hash
from limrank_synth.review.standing import Standing

_made = iter(range(10**9))


def decision(row: Row, reviewer: str = "ann", action: str = "accept", **fields: Any) -> Entry:
    """A decision on a row as it is; a rejection needs no reason here."""
    defaults: dict[str, Any] = {"hash": row_hash(row)} | ({"reason": "broken"} if action == "reject" else {})
    return Entry(
        id=f"entry-{next(_made):08}",
        time="2026-11-21T00:00:00.000+00:00",
        reviewer=reviewer,
        row=row.id,
        action=action,
        **(defaults | fields),
    )


def standing_of(rows: list[Row], *entries: Entry) -> Standing:
    """What holds after these."""
    return Standing({row.id: row_hash(row) for row in rows}).add(entries)
