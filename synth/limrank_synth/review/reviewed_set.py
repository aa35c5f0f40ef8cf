"""From rows and decisions to the reviewed set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from limrank_plugins.errors import InputError
from limrank_synth.records import LabelledPassage, Rejection
from limrank_synth.review.current_decisions import CurrentDecisions
from limrank_synth.review.decision import OTHER, Decision, edited
from limrank_synth.review.reviewer_agreement import disputed

Resolution = Literal["drop", "majority", "first"]
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)


@dataclass(frozen=True)
class ReviewedSet:
    """The reviewed set.

    Attributes:
        rows: what stays, edited where somebody edited it, in the order of the rows.
        rejections: what does not, with the reviewers' reasons.
        disputed: ids of the rows that reviewers decided differently, however that was resolved.
        unreviewed: how many rows nobody decided on.
    """

    rows: list[LabelledPassage]
    rejections: list[Rejection]
    disputed: list[str]
    unreviewed: int


def apply(
    rows: Sequence[LabelledPassage],
    standing: CurrentDecisions,
    *,
    resolution: str = "drop",
    keep_unreviewed: bool = False,
) -> ReviewedSet:
    """The rows that were accepted, as they were edited.

    A row stays if its reviewers keep it. Where they do not agree, whether on keeping it or on what it should
    say, the resolution decides:

    - `"drop"`: it is dropped.
    - `"majority"`: it stays if more keep it than reject it (a tie drops it), with the text that most of
      those who keep it gave it; of equally many, the earliest in the log.
    - `"first"`: what the reviewer says whose decision is the earliest in the log.

    `meta["review"]` of a row that stays says who kept it, and what was edited.

    Args:
        rows: the synthesised rows.
        standing: the decisions on them.
        resolution: see above.
        keep_unreviewed: keep the rows that nobody decided on; without it only what somebody accepted stays.

    Raises:
        InputError: there is no such resolution.
    """
    if resolution not in RESOLUTIONS:
        raise InputError(f"disagreements can be resolved by {', '.join(RESOLUTIONS)}, not by {resolution!r}")
    reviewed = ReviewedSet([], [], [], 0)
    unreviewed = 0
    for row in rows:
        decisions = standing.on(row.id)
        if not decisions:
            unreviewed += 1
            if keep_unreviewed:
                reviewed.rows.append(row)
            continue
        if disputed(decisions.values()):
            reviewed.disputed.append(row.id)
            chosen = _RESOLVED[resolution](list(decisions.values()))
        else:
            chosen = next(iter(decisions.values()))
        if chosen is not None and chosen.keeps:
            reviewed.rows.append(_reviewed(row, chosen, decisions))
        else:
            reviewed.rejections.append(Rejection("review", row.id, _why(decisions), row.passage))
    return replace(reviewed, unreviewed=unreviewed)


def _none(decisions: list[Decision]) -> Decision | None:
    return None


def _first(decisions: list[Decision]) -> Decision | None:
    return decisions[0]


def _majority(decisions: list[Decision]) -> Decision | None:
    kept = [entry for entry in decisions if entry.keeps]
    if len(kept) * 2 <= len(decisions):
        return None
    texts = Counter(_content(entry) for entry in kept)
    # max keeps the first of equals, and decisions are in the order of the log.
    return max(kept, key=lambda entry: texts[_content(entry)])


_RESOLVED = {"drop": _none, "first": _first, "majority": _majority}


def _content(entry: Decision) -> str:
    return json.dumps(dict(entry.edits), sort_keys=True)


def _reviewed(row: LabelledPassage, chosen: Decision, decisions: Mapping[str, Decision]) -> LabelledPassage:
    review = {
        "kept_by": [name for name, entry in decisions.items() if entry.keeps],
        "rejected_by": [name for name, entry in decisions.items() if not entry.keeps],
        "edited": sorted(chosen.edits),
    }
    return replace(edited(row, chosen.edits), meta=row.meta | {"review": review})


def _why(decisions: Mapping[str, Decision]) -> str:
    """Every reviewer's word, so that a dispute can be read from the rejection."""
    return "; ".join(f"{name}: {_word(entry)}" for name, entry in decisions.items())


def _word(entry: Decision) -> str:
    if entry.keeps:
        return "accepted" if entry.action == "accept" else "accepted with edits"
    reasons = [entry.reason] if entry.reason != OTHER else []
    return ", ".join([*reasons, *([entry.note] if entry.note else [])])
