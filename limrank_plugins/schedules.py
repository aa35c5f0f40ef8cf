"""Which documents are asked about together, in what order.

A schedule is a generator that knows no model: it yields a list of groups (tuples of input
positions) that may be asked about at the same time, receives one answer for each group (one entry
per document of the group, in the group's order), and returns one entry per document in input order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from limrank_plugins.errors import InputError

Answer = TypeVar("Answer")
Group = tuple[int, ...]
Plan = Generator[list[Group], Sequence[Sequence[Answer]], list[Answer]]
Schedule = Callable[[int], "Plan[Any]"]


def once(count: int) -> Plan[Answer]:
    """All documents in one group: for readouts whose scores depend on the whole list."""
    if count == 0:
        return []
    answers = yield [tuple(range(count))]
    return list(answers[0])


def chunks(size: int) -> Schedule:
    """Independent groups of `size` documents, all asked about at the same time.

    `chunks(1)` is pointwise reranking. Number of groups: ceil(count / size).
    """
    if size < 1:
        raise InputError(f"a chunk must hold at least 1 document, but size is {size}")

    def plan(count: int) -> Plan[Answer]:
        groups = [tuple(range(start, min(start + size, count))) for start in range(0, count, size)]
        if not groups:
            return []
        answers = yield groups
        return [entry for answer in answers for entry in answer]

    return plan
