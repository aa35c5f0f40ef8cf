"""Many programs as one, whose requests are those of all."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
Q = TypeVar("Q")
R = TypeVar("R")


def together(
    programs: Sequence[Generator[list[Q], list[R], T]],
) -> Generator[list[Q], list[R], list[T]]:
    """Run programs in lockstep: each step asks what all unfinished ones ask, in their order."""
    results: dict[int, T] = {}
    waiting: dict[int, list[Q]] = {}

    def advance(position: int, replies: list[R] | None) -> None:
        program = programs[position]
        try:
            waiting[position] = next(program) if replies is None else program.send(replies)
        except StopIteration as finished:
            waiting.pop(position, None)
            results[position] = finished.value

    for position in range(len(programs)):
        advance(position, None)
    while waiting:
        replies = iter((yield [request for requests in waiting.values() for request in requests]))
        for position, requests in list(waiting.items()):
            advance(position, list(islice(replies, len(requests))))
    return [results[position] for position in range(len(programs))]
