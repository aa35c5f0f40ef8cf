"""Schedules driven by models: perfect ones, and ones that abstain or answer senselessly."""

from __future__ import annotations

import random
from collections.abc import Callable

from limrank_plugins.schedules import Group, Schedule
from limrank_plugins.verdicts import Choice, GroupVerdict, Order

Model = Callable[[Group], GroupVerdict]


def drive(schedule: Schedule, count: int, model: Model) -> tuple[list[int] | None, list[Group]]:
    """The final order, and every group asked about."""
    asked: list[Group] = []
    plan = schedule(count)
    try:
        groups = next(plan)
        while True:
            asked += groups
            groups = plan.send([model(group) for group in groups])
    except StopIteration as finished:
        return finished.value, asked


def perfect_orderer(better: list[int]) -> Model:
    """`better[i]` is the relevance of document i."""
    return lambda group: Order(tuple(sorted(range(len(group)), key=lambda i: -better[group[i]])))


def perfect_selector(better: list[int]) -> Model:
    return lambda group: Choice(max(range(len(group)), key=lambda i: better[group[i]]), len(group))


def relevance(count: int, seed: int) -> list[int]:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return numbers


def best(better: list[int], k: int) -> list[int]:
    return sorted(range(len(better)), key=lambda i: -better[i])[:k]


HOSTILE: dict[str, Model] = {
    "abstains": lambda group: Choice(None, len(group)),
    "first": lambda group: Choice(0, len(group)),
    "last": lambda group: Choice(len(group) - 1, len(group)),
    "random": lambda group: Choice(random.Random(hash(group)).randrange(len(group)), len(group)),
    "moody": lambda group: Choice(random.randrange(len(group)), len(group)),
}
