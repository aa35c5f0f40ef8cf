"""Modality-aware hard negatives (MM-Embed, arXiv 2411.02571)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.seeding import seeded

NEAR = 45


@dataclass(frozen=True, slots=True)
class HardNegatives:
    """Candidates to draw negatives from, as positions in the ranking from 0.

    Attributes:
        wrong_kind: C1: of another kind than is wanted, and yet ranked above the positive.
        far: C2: of the wanted kind, ranked below `near`.
    """

    wrong_kind: tuple[int, ...]
    far: tuple[int, ...]


def mine(kinds: Sequence[str], wanted: str, positives: Collection[int], *, near: int = NEAR) -> HardNegatives:
    """The hard negatives of one query, by kind.

    A candidate of the wanted kind that is ranked high may answer the query though nobody said so, and so
    C2 begins below `near`. One of another kind is wrong however well it fits: C1 is all of those above
    the positive; where the positive is not in the ranking, all of it is above.

    Args:
        kinds: of each candidate, best first: `"text"`, `"image"`, `"image,text"`, …
        wanted: the kind that the query asks for.
        positives: positions that answer it; they are never mined. The best of them decides about C1.
        near: k', counted from 1.

    Raises:
        InputError: a position outside the ranking, or a near below 1.
    """
    whole_number("near", near, least=1)
    outside = [position for position in positives if not 0 <= position < len(kinds)]
    if outside:
        raise InputError(f"there is no candidate {outside[0]} in a ranking of {len(kinds)}")
    held = frozenset(positives)
    best = min(held, default=len(kinds))
    return HardNegatives(
        tuple(i for i, kind in enumerate(kinds[:best]) if kind != wanted),
        tuple(i for i, kind in enumerate(kinds) if i >= near and kind == wanted and i not in held),
    )


def draw(mined: HardNegatives, seed: int, name: str) -> tuple[int | None, int | None]:
    """One candidate of each sort, C1 and C2, by the seed and the query's name; None where there is none."""
    draws = seeded(json.dumps([seed, name]))
    wrong_kind = draws.choice(mined.wrong_kind) if mined.wrong_kind else None
    far = draws.choice(mined.far) if mined.far else None
    return wrong_kind, far
