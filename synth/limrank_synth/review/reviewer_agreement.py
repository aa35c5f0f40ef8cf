"""How far reviewers agree: Cohen's kappa, the plain share, and where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from limrank_synth.kappa import cohens_kappa
from limrank_synth.review.current_decisions import CurrentDecisions
from limrank_synth.review.decision import Decision


@dataclass(frozen=True, slots=True)
class ReviewerPair:
    """Two reviewers on the rows that both decided; an edited row counts as kept.

    Attributes:
        first, second: their names.
        both_keep, both_reject, first_keeps, second_keeps: how many rows, the last two where only one does.
        agreement: the share of rows with the same verdict; None without a row.
        kappa: Cohen's; None where it is not defined, see `cohens_kappa`.
    """

    first: str
    second: str
    both_keep: int
    both_reject: int
    first_keeps: int
    second_keeps: int
    agreement: float | None
    kappa: float | None

    @property
    def rows(self) -> int:
        """How many rows both decided."""
        return self.both_keep + self.both_reject + self.first_keeps + self.second_keeps


def compare(standing: CurrentDecisions, rows: Sequence[str]) -> list[ReviewerPair]:
    """Every two reviewers on these rows, by name; those without a row in common are left out."""
    decided = {name: standing.of(name) for name in standing.reviewers}
    pairs = []
    for first, second in combinations(decided, 2):
        mine, theirs = decided[first], decided[second]
        verdicts = [(mine[row].keeps, theirs[row].keeps) for row in rows if row in mine and row in theirs]
        if not verdicts:
            continue
        counts = Counter(verdicts)
        pairs.append(
            ReviewerPair(
                first,
                second,
                both_keep=counts[True, True],
                both_reject=counts[False, False],
                first_keeps=counts[True, False],
                second_keeps=counts[False, True],
                agreement=(counts[True, True] + counts[False, False]) / len(verdicts),
                kappa=cohens_kappa(verdicts).kappa,
            )
        )
    return pairs


def disputed(decisions: Iterable[Decision]) -> bool:
    """Whether decisions on one row are not one outcome: kept or not, or kept with different edits."""
    entries = list(decisions)
    kept = [dict(entry.edits) for entry in entries if entry.keeps]
    return 0 < len(kept) < len(entries) or any(edits != kept[0] for edits in kept)


def disagreements(standing: CurrentDecisions, rows: Sequence[str]) -> dict[str, dict[str, Decision]]:
    """By row, the decisions of all reviewers where these dispute it; in the order of `rows`."""
    by_row = {row: standing.on(row) for row in rows}
    return {row: decisions for row, decisions in by_row.items() if disputed(decisions.values())}
