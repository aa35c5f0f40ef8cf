"""The judges' verdicts against each other and against what the passage was written to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limrank_synth.filters import Sifted
from limrank_synth.records import INTENTS, Rejection, Row


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

    def __call__(self, rows: Sequence[Row]) -> Sifted:
        """Sift the rows."""
        kept, rejected = list[Row](), list[Rejection]()
        for row in rows:
            reason = self._problem(row)
            if reason is None:
                kept.append(row)
            else:
                rejected.append(Rejection(self.name, row.id, reason, row.passage))
        return Sifted(kept, rejected)

    def _problem(self, row: Row) -> str | None:
        meant = INTENTS[row.intent].relevant
        if row.relevant != meant:
            said = "relevant" if row.relevant else "irrelevant"
            return f"written as {row.intent}, but judged {said}"
        share = sum(vote == row.relevant for vote in row.votes) / len(row.votes)
        if share < self.votes:
            return f"only {share:.0%} of {len(row.votes)} verdicts agree with the label"
        if self.second and row.second and (sum(row.second) * 2 > len(row.second)) != row.relevant:
            return "the second judge disagrees"
        return None
