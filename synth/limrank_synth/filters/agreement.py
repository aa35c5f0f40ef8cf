"""The judges' verdicts against each other and against what the passage was written to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.errors import InputError
from limrank_synth.filters import FilterResult, filter_rows
from limrank_synth.kappa import cohens_kappa
from limrank_synth.records import INTENTS, LabelledPassage


@dataclass(frozen=True, slots=True)
class Agreement:
    """Keeps a row whose judges say what its passage was meant to be.

    A hard negative that is judged relevant is too good; a positive that is judged irrelevant missed its
    purpose. Both would teach the opposite of what their trace says.

    Attributes:
        votes: the least share of the first judge's verdicts that must agree with the label.
        second: whether the second judge's majority, where there is one, must be the same.
        name: of its rejections.
    """

    votes: float = 1.0
    second: bool = True
    name: str = "agreement"

    def __post_init__(self) -> None:
        if not 0 <= self.votes <= 1:
            raise InputError(f"votes must be a share from 0 to 1, but is {self.votes!r}")

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows.

        Raises:
            InputError: a row's intent is none of `records.INTENTS`.
        """
        return filter_rows(self.name, rows, self._problem)

    def _problem(self, row: LabelledPassage) -> str | None:
        if row.intent not in INTENTS:
            raise InputError(f"row {row.id!r} has no known intent but {row.intent!r}")
        meant = INTENTS[row.intent].relevant
        if row.relevant != meant:
            verdict = "relevant" if row.relevant else "irrelevant"
            return f"written as {row.intent}, but judged {verdict}"
        if not row.votes:
            return "no judge said anything"
        share = sum(vote == row.relevant for vote in row.votes) / len(row.votes)
        if share < self.votes:
            return f"only {share:.0%} of {len(row.votes)} verdicts agree with the label"
        if self.second and row.second and majority(row.second) != row.relevant:
            return "the second judge disagrees"
        return None


def majority(votes: Sequence[bool]) -> bool:
    """What more than half of the votes say; relevant needs the majority."""
    return sum(votes) * 2 > len(votes)


def judges_report(rows: Sequence[LabelledPassage]) -> dict[str, Any]:
    """How far the judges' verdicts agree, over rows that no filter has touched.

    Returns:
        `two`: the two judges' majorities against each other, where there is a second judge; `intent`: the
        first judge's majority against what the passage was written to be; `unanimous`: the share of rows
        on which the first judge's votes are all the same.
    """
    two = cohens_kappa((row.relevant, majority(row.second)) for row in rows if row.second)
    intent = cohens_kappa((row.relevant, INTENTS[row.intent].relevant) for row in rows)
    unanimous = sum(len(set(row.votes)) == 1 for row in rows)
    return {
        "two": two._asdict() if two.items else None,
        "intent": intent._asdict() if intent.items else None,
        "unanimous": unanimous / len(rows) if rows else None,
    }
