"""What the stages hand to each other: seeds, personas, queries, passages, rows, rejections. All immutable."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.usable import can_be_seen

Kind = Literal["daily-life", "expert"]
Difficulty = Literal["easy", "medium", "hard"]

KINDS: tuple[Kind, ...] = ("daily-life", "expert")
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text comes from.

    Attributes:
        name: the dataset's name or the file's.
        licence: an SPDX identifier or the licence's own name; `"unknown"` where nobody said.
        commercial: whether it may be used commercially; None where that is not known.
    """

    name: str
    licence: str = "unknown"
    commercial: bool | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """A simple query that a harder one is made from."""

    id: str
    text: str
    source: Source

    def __post_init__(self) -> None:
        if not self.id or not can_be_seen(self.text):
            raise InputError(f"a seed needs an id and a text, but got id={self.id!r}, text={self.text!r}")


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody who might ask."""

    id: str
    text: str
    source: Source


@dataclass(frozen=True, slots=True)
class Target:
    """What a query is asked to be: the guidelines' three axes, drawn before it is written."""

    kind: Kind
    domain: str
    difficulty: Difficulty


@dataclass(frozen=True, slots=True)
class WrittenQuery:
    """A query that was made from a seed.

    Attributes:
        id: the seed's id and the kind, so that it is the same in every run.
        reasoning: long, about what would satisfy it; empty before that stage.
    """

    id: str
    text: str
    seed: Seed
    persona: Persona
    target: Target
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a passage is written to be.

    Attributes:
        name: `"direct"`, `"indirect:supporting"`, `"negative:outdated"`, …
        relevant: whether it is meant to be judged relevant.
        false_claim: it states something untrue on purpose; such a text must never pass as knowledge.
    """

    name: str
    relevant: bool
    false_claim: bool = False


DIRECT = Intent("direct", True)
INDIRECT = tuple(
    Intent(f"indirect:{name}", True) for name in ("foundational", "supporting", "refuting", "perspective")
)
NEGATIVE = (
    Intent("negative:other-aspect", False),
    Intent("negative:outdated", False),
    Intent("negative:wrong-premise", False),
    Intent("negative:false-claim", False, false_claim=True),
    Intent("negative:other-sense", False),
)
FOREIGN = "negative:foreign"
"""Written for another query: no intent that a passage is written to, and without a trace."""
INTENTS = {intent.name: intent for intent in (DIRECT, *INDIRECT, *NEGATIVE)}


@dataclass(frozen=True, slots=True)
class WrittenPassage:
    """A passage that was written for a query."""

    id: str
    text: str
    intent: Intent
    description: str


@dataclass(frozen=True, slots=True)
class JudgeVote:
    """One judge's verdict on one passage.

    Attributes:
        trace: its reasoning, without tags.
        relevant: its verdict.
    """

    trace: str
    relevant: bool


@dataclass(frozen=True, slots=True)
class LabelledPassage:
    """One training example with everything known about it.

    Attributes:
        query, passage: the texts as the model will read them.
        trace: the reasoning that is learned.
        relevant: the label.
        votes: verdicts of the judge, the first one's trace being `trace`.
        second: verdicts of the second judge, or empty.
        sources: of everything that went in; their licences bind the row.
        meta: seed, persona, thought, description: for the reviewer and the card.
    """

    id: str
    query_id: str
    query: str
    passage: str
    trace: str
    relevant: bool
    intent: str
    false_claim: bool
    kind: str
    domain: str
    difficulty: str
    votes: tuple[bool, ...]
    second: tuple[bool, ...] = ()
    sources: tuple[Source, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict, hash=False)

    def as_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LabelledPassage:
        """Back from plain data.

        Raises:
            InputError: a field is missing or unknown.
        """
        names = [each.name for each in dataclasses.fields(cls)]
        for name in names:
            if name not in data and name != "meta":
                raise InputError(f"this is no row of a synthesis: the field {name!r} is missing")
        for name in data:
            if name not in names:
                raise InputError(f"this is no row of a synthesis: the field {name!r} is unknown")
        try:
            fields = dict(data)
            fields["votes"], fields["second"] = tuple(fields["votes"]), tuple(fields["second"])
            fields["sources"] = tuple(Source(**source) for source in fields["sources"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise InputError(f"this is no row of a synthesis: {error}") from error


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that was thrown away or never came, and why.

    Attributes:
        stage: the stage or filter that did it.
        item: the id of the query, passage or row.
        reason: one sentence.
        text: what was thrown away, shortened.
        is_failure: nothing was thrown away: the model gave nothing usable, and the next run asks it again.
    """

    stage: str
    item: str
    reason: str
    text: str = ""
    is_failure: bool = False
