"""Documents that read the same are one document to a wrapper: ranked once, tied in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limrank_plugins.data import Document, Usage
from limrank_plugins.recipe import OutcomeProgram, PartRanker
from limrank_plugins.ties import same_text
from limrank_plugins.verdicts import Outcome


def once_each(documents: Sequence[Document], rank: PartRanker) -> OutcomeProgram:
    """Rank the first of each set of duplicates; the others get its verdict, and the places behind it."""
    first = same_text(documents)
    kept = list(dict.fromkeys(first))
    outcome = yield from rank([documents[i] for i in kept])
    by_position = dict(zip(kept, outcome.verdicts, strict=True))
    verdicts = tuple(
        by_position[i] if i == position else replace(by_position[i], usage=Usage(), repairs=0)
        for position, i in enumerate(first)
    )
    if outcome.order is None:
        return Outcome(verdicts)
    members: dict[int, list[int]] = {}
    for position, i in enumerate(first):
        members.setdefault(i, []).append(position)
    return Outcome(verdicts, [position for place in outcome.order for position in members[kept[place]]])
