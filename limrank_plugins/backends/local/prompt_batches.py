"""Which prompts are computed together: those with a common beginning, in batches of like length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
WORTHWHILE = 8
"""Common tokens below which a separate pass over them costs more than it saves."""

PACK = 1024
"""Tokens of tails that are read as one row: with twice as many, a CPU is no faster."""


@dataclass(frozen=True, eq=False)
class Group(Generic[T]):
    """Rows whose prompts begin with the same tokens; an empty prefix where there is nothing to share."""

    prefix: list[int]
    rows: list[T]


def grouped(rows: Iterable[tuple[str, list[int], T]], share: bool) -> list[Group[T]]:
    """Group (shared text, prompt ids, row) by shared text; loners end up in one group without prefix.

    The prefix is what the ids really have in common, which may be less than the shared text's own
    tokens (a tokenizer may merge across its end) or more. At least one token is left of each row.
    """
    by_text: dict[str, list[tuple[list[int], T]]] = {}
    alone: list[T] = []
    for text, ids, row in rows:
        by_text.setdefault(text, []).append((ids, row))
    groups: list[Group[T]] = []
    for members in by_text.values():
        prefix = common([ids for ids, _ in members]) if share and len(members) > 1 else []
        if len(prefix) >= WORTHWHILE:
            groups.append(Group(prefix, [row for _, row in members]))
        else:
            alone += [row for _, row in members]
    return [*groups, Group([], alone)] if alone else groups


def split(rows: Iterable[tuple[int, list[int], T]]) -> list[Group[T]]:
    """Group (shared tokens, prompt ids, row) by the shared tokens themselves.

    Where a prompt is split depends on nothing but the prompt, so the same is computed for it whatever else
    is asked. At least one token is left of each row.
    """
    groups: dict[tuple[int, ...], list[T]] = {}
    for shared, ids, row in rows:
        head = min(shared, len(ids) - 1)
        groups.setdefault(tuple(ids[:head]) if head >= WORTHWHILE else (), []).append(row)
    return [Group(list(prefix), members) for prefix, members in groups.items()]


def in_batches(lengths: Sequence[int], head: int, budget: int, slack: float) -> list[list[int]]:
    """Positions of tails, batch by batch, longest first so that too little memory shows at once.

    Args:
        lengths: of the tails.
        head: length of the prefix before each.
        budget: rows × (prefix + longest tail) of a batch stay within it; one row is always allowed.
        slack: a tail joins one that is at most this fraction longer.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches:
            longest = lengths[batches[-1][0]]
            fits = (len(batches[-1]) + 1) * (head + longest) <= budget
            if fits and longest <= lengths[i] * (1 + slack):
                batches[-1].append(i)
                continue
        batches.append([i])
    return batches


def in_packs(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions of tails that are read as one row each, in order; a row of one tail may exceed the budget."""
    packs: list[list[int]] = []
    held = 0
    for i, length in enumerate(lengths):
        if packs and held + length <= min(budget, PACK):
            packs[-1].append(i)
            held += length
        else:
            packs.append([i])
            held = length
    return packs


def common(prompts: Sequence[list[int]]) -> list[int]:
    """What all of them begin with, at least one token of each left out."""
    low, high = min(prompts), max(prompts)  # what these two share, all between them share
    shared = 0
    while shared < min(len(low), len(high)) and low[shared] == high[shared]:
        shared += 1
    return low[: min(shared, min(map(len, prompts)) - 1)]
