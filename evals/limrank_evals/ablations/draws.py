"""Which rows an arm is made of: nested, stratified, and decided by the rows and the seed alone.

All draws are the beginning of one order of a pool's rows. It is made by merging strata, each in an order
that a hash gives, in proportion: a stratum's j-th row of n stands at (2j - 1) / 2n (Webster's method of
apportionment, which is house-monotone: a larger draw never has fewer rows of any stratum). So the first m
rows are a stratified draw for every m, and the smaller draw is part of the larger one. It is done for label
first, within labels for source, then kind, then domain, so that the shares of the labels are the truest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from limrank_evals.ablations.arms import Arm
from limrank_evals.ablations.components import Keeps, keeping
from limrank_evals.ablations.pools import Pool, TrainingRow
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of

STRATA = ("label", "pool", "source", "kind", "domain")


@dataclass(frozen=True, slots=True)
class RowDraw:
    """The rows of an arm.

    Attributes:
        rows: in their order in the arm's file.
        taken_out: rows of the draw that its components took out and nothing replaced.
    """

    rows: tuple[TrainingRow, ...]
    taken_out: int = 0

    def counts(self) -> dict[str, dict[str, int]]:
        """How many rows there are of each label, pool, kind, domain, difficulty and intent."""
        columns = ("label", "pool", "kind", "domain", "difficulty", "intent")
        counts = {column: Counter(getattr(row, column) for row in self.rows) for column in columns}
        return {column: dict(sorted(count.items())) for column, count in counts.items()}

    @property
    def digest(self) -> str:
        """Of the rows' lines, in their order."""
        return hashlib.sha256(b"".join(row.content for row in self.rows)).hexdigest()

    @property
    def digests(self) -> frozenset[bytes]:
        """Of the rows, to tell which arms hold which."""
        return frozenset(row.digest for row in self.rows)


def draw(arm: Arm, pools: Mapping[str, Pool], seed: int) -> RowDraw:
    """RowDraw an arm's rows.

    Args:
        arm: see there.
        pools: by name; those of the whole ablation.
        seed: of the draw.

    Raises:
        InputError: a pool has too few rows, a component takes nothing out, or nothing is left.
    """
    known = [row for pool in pools.values() for row in pool.rows]
    filters = [keeping(component, known) for component in arm.without]
    drawn: list[TrainingRow] = []
    seen: set[bytes] = set()
    for name, count in arm.rows.items():
        available = [
            row
            for row in pools[name].rows
            if row.digest not in seen and (not arm.refill or _kept(row, filters))
        ]
        if count is not None and count > len(available):
            raise InputError(_too_few(arm, name, count, len(available), len(pools[name].rows)))
        chosen = stratified(available, seed)[:count]
        drawn += chosen
        seen |= {row.digest for row in chosen}
    ordered = stratified(drawn, seed)
    if arm.total is not None and arm.total > len(ordered):
        raise InputError(f"arm {arm.name!r} wants {arm.total} rows in total, but has {len(ordered)}")
    ordered = ordered[: arm.total]
    left = [row for row in ordered if _kept(row, filters)]
    if not left:
        raise InputError(f"arm {arm.name!r} has no rows left without {', '.join(arm.without)}")
    return RowDraw(tuple(left), len(ordered) - len(left))


def stratified(rows: Sequence[TrainingRow], seed: int, columns: Sequence[str] = STRATA) -> list[TrainingRow]:
    """Entries in an order whose every beginning has the strata in proportion; see above.

    Args:
        rows: in any order, which changes nothing.
        seed: of the order within strata.
        columns: what strata are told apart by, the one that matters most first.
    """
    if not columns:
        return sorted(rows, key=lambda row: _lot(seed, row.digest))
    groups: dict[str, list[TrainingRow]] = {}
    for row in rows:
        groups.setdefault(getattr(row, columns[0]), []).append(row)
    placed = [
        # The quotient of two whole numbers: equal places are equal numbers, whatever they are made of.
        ((2 * number + 1) / (2 * len(group)), _lot(seed, value.encode("utf-8", "surrogatepass")), row)
        for value, group in groups.items()
        for number, row in enumerate(stratified(group, seed, columns[1:]))
    ]
    return [row for *_, row in sorted(placed, key=lambda place: place[:2])]


def _kept(row: TrainingRow, filters: Iterable[Keeps]) -> bool:
    return all(keeps(row) for keeps in filters)


def _too_few(arm: Arm, pool: str, count: int, available: int, whole: int) -> str:
    message = f"arm {arm.name!r} wants {number_of(count, 'row')} of {pool!r}, which has {whole}"
    if not arm.without or available == whole:
        return f"{message}: ask for fewer, or for all"
    return (
        f"{message}, and {available} without {', '.join(arm.without)}: ask for fewer, give a larger pool, or "
        f"say refill: false for a smaller arm"
    )


def _lot(seed: int, name: bytes) -> bytes:
    return hashlib.sha256(f"{seed}:".encode("ascii") + name).digest()
