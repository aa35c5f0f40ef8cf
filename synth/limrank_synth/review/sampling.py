"""What is looked at: a sample that has every sort of row in the same share as the whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from limrank_plugins.errors import InputError
from limrank_synth.records import LabelledPassage

# The size of the paper's data audit.
AUDIT = 100


def stratum(row: LabelledPassage) -> tuple[str, str, str]:
    """What a row is counted under: purpose of the passage, kind of the query, difficulty."""
    return row.intent, row.kind, row.difficulty


def stratified(rows: Sequence[LabelledPassage], size: int = AUDIT, seed: int = 0) -> list[LabelledPassage]:
    """So many rows, in the order of `rows`; all of them where there are no more.

    Every stratum gets the whole part of its share, and the places that are left go to the largest
    remainders (Hamilton's method). Equal remainders, and the rows inside a stratum, are drawn by a hash of
    the seed and the name, so the order of the file does not matter.

    Raises:
        InputError: `size` is less than 1.
    """
    if size < 1:
        raise InputError(f"a sample has at least 1 row, but {size} were asked for")
    if size >= len(rows):
        return list(rows)
    members: dict[tuple[str, str, str], list[LabelledPassage]] = {}
    for row in rows:
        members.setdefault(stratum(row), []).append(row)
    # Whole numbers throughout: share = size * members / rows, remainder = what the division leaves.
    shares = {key: divmod(size * len(group), len(rows)) for key, group in members.items()}
    left = size - sum(whole for whole, _ in shares.values())
    by_remainder = sorted(shares, key=lambda key: (-shares[key][1], _draw(seed, *key)))
    extra = set(by_remainder[:left])
    chosen: set[str] = set()
    for key, group in members.items():
        group.sort(key=lambda row: _draw(seed, row.id))
        chosen |= {row.id for row in group[: shares[key][0] + (key in extra)]}
    return [row for row in rows if row.id in chosen]


def _draw(seed: int, *name: str) -> bytes:
    return hashlib.sha256(json.dumps([seed, *name], ensure_ascii=True).encode("ascii")).digest()
