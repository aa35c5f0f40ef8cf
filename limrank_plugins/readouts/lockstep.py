"""Many programs as one, whose requests are those of all; and a program whose bad replies are forgotten."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import TypeVar

from limrank_plugins.backends.protocols import Failed, Forget, Program, Request

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


def forgetting(program: Program[T], failed: Callable[[T], bool]) -> Program[T]:
    """The program; where its result is a failure of what a model replied, no store holds the replies.

    The same request is then asked again, as whoever is told of the failure expects. Where a reply never
    came, that is the failure, and the replies that came stay.

    Args:
        program: asks for one result.
        failed: whether a result is a failure.
    """
    asked: list[Request] = []
    lost = False
    try:
        requests = next(program)
        while True:
            replies = yield requests
            asked += requests
            lost = lost or any(isinstance(reply, Failed) for reply in replies)
            requests = program.send(replies)
    except StopIteration as finished:
        result: T = finished.value
    if asked and not lost and failed(result):
        yield [Forget(request) for request in asked]
    return result
