"""The guidelines as target distributions: how far the set is from them, and dropping what is too much."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from limrank_plugins.errors import InputError
from limrank_synth.filters import FilterResult
from limrank_synth.guidelines import Guidelines
from limrank_synth.quotas import largest_remainder
from limrank_synth.records import LabelledPassage, Rejection


class _Query(NamedTuple):
    """What counts of a query: the guidelines are about queries, however many passages each has."""

    id: str
    kind: str
    domain: str
    difficulty: str


class _Axis(NamedTuple):
    """One guideline: the queries it is about, where each of them stands, and the target shares."""

    name: str
    kind: str | None  # domains are those of one kind
    target: Mapping[str, float]

    def value(self, query: _Query) -> str:
        return str(getattr(query, self.name))

    def about(self, queries: Iterable[_Query]) -> list[_Query]:
        return [query for query in queries if self.kind is None or query.kind == self.kind]

    @property
    def title(self) -> str:
        return self.name if self.kind is None else f"{self.name} ({self.kind})"


@dataclass(frozen=True)
class Coverage:
    """Keeps the rows of so many queries that the guidelines' shares of kind, domain and difficulty hold.

    Axis by axis (kind, the domains of each kind, difficulty): where the total variation distance to the
    target is above `tolerance`, and above what chance alone does to a sample of this size, queries of
    values that are too frequent are dropped with all their rows. How many of each value stay are the
    target's quotas by largest remainders, for the largest set that can have them. Which ones is drawn by
    `seed` and the query's id, whatever the order of the rows.

    Attributes:
        guidelines: the targets.
        tolerance: the total variation distance (0 to 1) that is let pass.
        minimum: the share of the queries that stays whatever their distribution. Where that is too many
            for the quotas, frequent values keep more than theirs.
        seed: of the choice.
        name: of its rejections.
    """

    guidelines: Guidelines = field(repr=False)
    tolerance: float = 0.05
    minimum: float = 0.8
    seed: int = 0
    name: str = "coverage"

    def __post_init__(self) -> None:
        for what in ("tolerance", "minimum"):
            if not 0 <= getattr(self, what) <= 1:
                raise InputError(f"{what} must be a share from 0 to 1, but is {getattr(self, what)!r}")

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows."""
        staying = {query.id: query for query in _queries(rows)}
        least = math.ceil(self.minimum * len(staying))
        reasons: dict[str, str] = {}
        for axis in _axes(self.guidelines):
            about = axis.about(staying.values())
            counts = Counter(map(axis.value, about))
            distance = total_variation(counts, axis.target)
            if distance <= max(self.tolerance, most_by_chance(axis.target, len(about))):
                continue
            # Of all that must stay, so many must be among these.
            quotas = _stays(counts, axis.target, least - (len(staying) - len(about)))
            chosen = sorted(about, key=lambda query: self._luck(query.id))
            for query in chosen:
                value = axis.value(query)
                if quotas[value] > 0:
                    quotas[value] -= 1
                else:
                    share = axis.target.get(value, 0.0)
                    reasons[query.id] = f"more than {share:.1%} of the queries are {value!r} ({axis.title})"
                    del staying[query.id]
        kept = [row for row in rows if row.query_id not in reasons]
        gone = [row for row in rows if row.query_id in reasons]
        return FilterResult(
            kept, [Rejection(self.name, row.id, reasons[row.query_id], row.passage) for row in gone]
        )

    def _luck(self, query: str) -> bytes:
        named = json.dumps([self.seed, query], ensure_ascii=True)
        return hashlib.sha256(named.encode("ascii")).digest()


def coverage_report(rows: Sequence[LabelledPassage], guidelines: Guidelines) -> dict[str, Any]:
    """Target and achieved share of every value by axis, and the total variation distance of the two."""
    queries = _queries(rows)
    report: dict[str, Any] = {}
    for axis in _axes(guidelines):
        about = axis.about(queries)
        counts = Counter(map(axis.value, about))
        values = list(axis.target) + sorted(set(counts) - set(axis.target))
        report[axis.title] = {
            "queries": len(about),
            "distance": total_variation(counts, axis.target) if about else None,
            "distance_by_chance": distance_by_chance(axis.target, len(about)) if about else None,
            "shares": {
                value: {
                    "target": axis.target.get(value, 0.0),
                    "achieved": counts[value] / len(about) if about else None,
                }
                for value in values
            },
        }
    return report


def total_variation(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Half the sum of the absolute differences between achieved and target shares; 0 for no counts."""
    total = sum(counts.values())
    if not total:
        return 0.0
    values = set(counts) | set(target)
    return math.fsum(abs(counts.get(v, 0) / total - target.get(v, 0.0)) for v in values) / 2


def distance_by_chance(target: Mapping[str, float], size: int) -> float:
    """The total variation distance to expect of a sample drawn by the target: ½ Σ √(2 p (1 - p) / (π n))."""
    if not size:
        return 0.0
    return math.fsum(math.sqrt(2 * p * (1 - p) / (math.pi * size)) for p in target.values()) / 2


def most_by_chance(target: Mapping[str, float], size: int) -> float:
    """`distance_by_chance` and twice its standard deviation, which some 19 of 20 samples stay below.

    The variance is ½ Σ (1 - 2/π) p (1 - p) / n at most; for two values it is exactly that.
    """
    if not size:
        return 0.0
    variance = math.fsum((1 - 2 / math.pi) * p * (1 - p) / size for p in target.values()) / 2
    return distance_by_chance(target, size) + 2 * math.sqrt(variance)


def _stays(counts: Mapping[str, int], target: Mapping[str, float], least: int) -> dict[str, int]:
    """How many of each value stay: quotas of the largest total they all can be had for, or of `least`."""
    there = sum(counts.values())
    # The scarcest value decides; its remainder may be rounded up, which the search accounts for.
    bound = min((counts.get(v, 0) + 1) / share for v, share in target.items() if share > 0)
    total = min(there, math.floor(bound) + 1)
    while total > 0 and any(counts.get(v, 0) < n for v, n in largest_remainder(total, target).items()):
        total -= 1
    if total >= least:
        return Counter(largest_remainder(total, target))
    # Too few: what scarce values lack goes to the others by their shares, then to values with no share.
    counted = Counter[str]()
    open_values = {v: share for v, share in target.items() if share > 0 and counts.get(v, 0)}
    while (lacking := least - sum(counted.values())) > 0:
        if not open_values:
            spare = {v: n - counted[v] for v, n in sorted(counts.items()) if n > counted[v]}
            for value, number in largest_remainder(lacking, spare).items():
                counted[value] += number
            break
        for value, number in largest_remainder(lacking, open_values).items():
            counted[value] = min(counts[value], counted[value] + number)
        open_values = {v: share for v, share in open_values.items() if counted[v] < counts[v]}
    return counted


def _queries(rows: Sequence[LabelledPassage]) -> list[_Query]:
    queries = {row.query_id: _Query(row.query_id, row.kind, row.domain, row.difficulty) for row in rows}
    return list(queries.values())


def _axes(guidelines: Guidelines) -> list[_Axis]:
    return [
        _Axis("kind", None, guidelines.kind),
        *(_Axis("domain", kind, shares) for kind, shares in guidelines.domain.items()),
        _Axis("difficulty", None, guidelines.difficulty),
    ]
