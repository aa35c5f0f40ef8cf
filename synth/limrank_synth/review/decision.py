"""One decision of one reviewer on one row: what is in a line of the log, and what an edit makes of a row."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.usable import can_be_seen
from limrank_plugins.segments import clean_text
from limrank_synth.records import LabelledPassage

ACTIONS = ("accept", "reject", "edit", "undo")

# What the keys 1 to 9 mean; the log holds the left side.
REASONS: Mapping[str, str] = {
    "wrong-label": "The verdict is wrong for this query and passage",
    "bad-trace": "The trace does not argue for its verdict, or argues badly",
    "missed-purpose": "The passage is not what it was written to be",
    "unreal-query": "Nobody would ask this, or nothing could answer it",
    "wrong-difficulty": "The query is easier or harder than it is said to be",
    "untrue": "States something untrue that is not flagged",
    "leak": "The passage repeats the query or gives the label away",
    "harmful": "Harmful, private or offensive",
    "broken": "Broken, cut off, or in the wrong language",
}
OTHER = "other"

LONGEST_NOTE = 2_000
LONGEST_TEXT = 100_000
LONGEST_NAME = 80
_TEXTS = ("query", "passage", "trace")
EDITABLE = (*_TEXTS, "relevant")
_NEEDED = ("id", "time", "reviewer", "row", "hash", "action")
_PERHAPS = ("reason", "note", "edits", "undoes")
_IDENTIFIER = re.compile(r"[0-9A-Za-z-]{8,64}")
_TAG = re.compile(r"<\s*/?\s*think\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Decision:
    """A line of the log.

    Attributes:
        id: of the entry, made by who decides, so that the same decision sent twice counts once.
        time: UTC, ISO 8601 with milliseconds.
        reviewer: who.
        row: the row's id.
        hash: of what the reviewer saw, see `row_hash`; a row that changed since is undecided again.
        action: `"accept"`, `"reject"`, `"edit"` (accepted with changes), or `"undo"`.
        reason: of a rejection: a key of `REASONS`, or `"other"` with a note.
        note: free text.
        edits: of an edit: the new values of `query`, `passage`, `trace`, `relevant`, those that changed.
        undoes: of an undo: the id of the entry that no longer holds.
    """

    id: str
    time: str
    reviewer: str
    row: str
    hash: str
    action: str
    reason: str = ""
    note: str = ""
    edits: Mapping[str, Any] = field(default_factory=dict, hash=False)
    undoes: str = ""

    def __post_init__(self) -> None:
        for name in (*_NEEDED, "reason", "note", "undoes"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} must be a text, but is {getattr(self, name)!r:.80}")
        if not _IDENTIFIER.fullmatch(self.id):
            raise InputError(f"id must be 8 to 64 letters, digits and hyphens, but is {self.id!r:.80}")
        if not self.row or not self.hash or not self.time:
            raise InputError("row, hash and time must not be empty")
        if self.action not in ACTIONS:
            raise InputError(f"there is no action {self.action!r:.80}; there are: {', '.join(ACTIONS)}")
        check_name(self.reviewer)
        if len(self.note) > LONGEST_NOTE:
            raise InputError(
                f"a note has at most {LONGEST_NOTE:,} characters, but this one {len(self.note):,}"
            )
        if (self.action == "reject") != bool(self.reason):
            raise InputError("a rejection needs a reason, and nothing else has one")
        if self.reason and self.reason not in (*REASONS, OTHER):
            raise InputError(
                f"there is no reason {self.reason!r:.80}; there are: {', '.join(REASONS)}, {OTHER}"
            )
        if self.reason == OTHER and not can_be_seen(self.note):
            raise InputError(f"the reason {OTHER!r} needs a note that says which")
        if (self.action == "undo") != bool(self.undoes):
            raise InputError("an undo names the entry it undoes, and nothing else does")
        if (self.action == "edit") != bool(self.edits):
            raise InputError("an edit changes something, and nothing else does")
        check_edits(self.edits)

    @property
    def keeps(self) -> bool:
        """Whether the row stays, as it is or edited."""
        return self.action in ("accept", "edit")

    def as_json(self) -> dict[str, Any]:
        """The entry as plain data, without what does not apply."""
        data: dict[str, Any] = {name: getattr(self, name) for name in _NEEDED}
        perhaps = {name: getattr(self, name) for name in _PERHAPS}
        return data | {name: value for name, value in perhaps.items() if value}

    @classmethod
    def from_json(cls, data: Any) -> Decision:
        """Back from plain data.

        Raises:
            InputError: no object, a field that is missing, unknown or senseless.
        """
        if not isinstance(data, dict):
            raise InputError(f"a decision is a JSON object, but this is {data!r:.80}")
        missing = [name for name in _NEEDED if name not in data]
        unknown = [name for name in data if name not in (*_NEEDED, *_PERHAPS)]
        if missing or unknown:
            problem = f"lacks {missing[0]!r}" if missing else f"has an unknown field {unknown[0]!r:.80}"
            raise InputError(f"the decision {problem}")
        return cls(**data)


def check_name(name: str) -> None:
    """A reviewer's name: one line of at most 80 characters without blanks at its ends, normalised (NFC).

    Raises:
        InputError: it is another text.
    """
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise InputError(
            f"a reviewer's name has 1 to {LONGEST_NAME} visible characters, but got {name!r:.100}"
        )
    if unicodedata.normalize("NFC", name) != name:
        raise InputError(f"the reviewer's name {name!r} is not in Unicode's normal form C")


def tidy_name(name: str) -> str:
    """The name as it is written down: blanks squeezed, normal form C, so that one person is one name.

    Raises:
        InputError: nothing is left, or too much.
    """
    tidy = unicodedata.normalize("NFC", " ".join(clean_text(name).split()))
    check_name(tidy)
    return tidy


def check_edits(edits: Any) -> None:
    """The new values must be usable in a training row.

    Raises:
        InputError: no object, an unknown field, an empty or overlong text, a tag in the trace.
    """
    if not isinstance(edits, dict):
        raise InputError(f"edits must be an object, but are {edits!r:.80}")
    unknown = [name for name in edits if name not in EDITABLE]
    if unknown:
        raise InputError(f"{unknown[0]!r:.80} cannot be edited; there are: {', '.join(EDITABLE)}")
    for name, value in edits.items():
        if name == "relevant":
            if not isinstance(value, bool):
                raise InputError(f"relevant must be true or false, but is {value!r:.80}")
        elif not isinstance(value, str) or not can_be_seen(value):
            raise InputError(f"the {name} must not be empty")
        elif len(value) > LONGEST_TEXT:
            raise InputError(f"the {name} has {len(value):,} characters; there may be {LONGEST_TEXT:,}")
    # The training layout closes the thought with this tag: a second one would end it early.
    if _TAG.search(edits.get("trace", "")):
        raise InputError("the trace must not hold a <think> or </think> tag")


def row_hash(row: LabelledPassage) -> str:
    """64 hex digits of what a reviewer judges: texts, label, purpose, targets. Not votes, sources, meta."""
    seen = [
        row.id,
        row.query,
        row.passage,
        row.trace,
        row.relevant,
        row.intent,
        row.false_claim,
        row.kind,
        row.domain,
        row.difficulty,
    ]
    return hashlib.sha256(json.dumps(seen, ensure_ascii=True).encode("ascii")).hexdigest()


def edited(row: LabelledPassage, edits: Mapping[str, Any]) -> LabelledPassage:
    """The row with these changes.

    Rows of one query share its id. One whose query was changed gets an id of its own for it, the same for
    the same new text, so that no id stands for two texts.
    """
    changes = dict(edits)
    if changes.get("query", row.query) != row.query:
        digest = hashlib.sha256(changes["query"].encode("utf-8")).hexdigest()[:8]
        changes["query_id"] = f"{row.query_id}/edited-{digest}"
    return replace(row, **changes)
