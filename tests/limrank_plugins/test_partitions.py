"""Partitioning by a pivot against brute force with perfect, lazy and hostile models."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_plugins.partitions import SharedPivot, TopDown
from limrank_plugins.schedules import Schedule
from plans import HOSTILE, best, drive, perfect_orderer, relevance

ALL = [TopDown(), TopDown(4, 2), TopDown(5, 1), SharedPivot(), SharedPivot(4, 3), SharedPivot(3, 1)]
KINDS = pytest.mark.parametrize("kind", [TopDown, SharedPivot])


@KINDS
@given(st.integers(0, 80), st.integers(2, 25), st.data(), st.integers())
@settings(max_examples=200, deadline=None)
def test_a_perfect_orderer_brings_the_best_to_the_front(
    kind: type[TopDown], count: int, window: int, data: st.DataObject, seed: int
):
    cutoff = data.draw(st.integers(1, window - 1))
    schedule, better = kind(window, cutoff), relevance(count, seed)
    order, asked = drive(schedule, count, perfect_orderer(better))
    assert sorted(order) == list(range(count))
    assert order[:cutoff] == best(better, count)[:cutoff]
    assert len(asked) <= schedule.calls(count)
    assert all(2 <= len(set(group)) == len(group) <= window for group in asked)
    assert count <= window or set(range(count)) == {i for group in asked for i in group}, "none is skipped"


@pytest.mark.parametrize("order", [1, -1])
@KINDS
def test_the_bound_of_calls_is_reached_by_lists_that_are_the_wrong_way_round(kind: type[TopDown], order: int):
    """From the worst to the best: every window has nothing but documents above the pivot."""
    most = []
    for count in range(60):
        schedule = kind(5, 2)
        _, asked = drive(schedule, count, perfect_orderer([order * i for i in range(count)]))
        assert len(asked) <= schedule.calls(count)
        most.append(len(asked) == schedule.calls(count))
    assert kind is SharedPivot or order < 0 or all(most)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@pytest.mark.parametrize("mood", HOSTILE)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 19, 33, 90])
def test_hostile_models_end_in_a_permutation(schedule: Schedule, mood: str, count: int):
    order, asked = drive(schedule, count, HOSTILE[mood])
    assert sorted(order) == list(range(count))
    assert len(asked) <= schedule.calls(count)
    if mood == "abstains":
        assert order == list(range(count))


def batches(schedule: Schedule, better: list[int]) -> list[int]:
    """How many groups are asked about at a time."""
    sizes: list[int] = []
    model, plan = perfect_orderer(better), schedule(len(better))
    try:
        groups = next(plan)
        while True:
            sizes.append(len(groups))
            groups = plan.send([model(group) for group in groups])
    except StopIteration:
        return sizes


def test_a_good_first_stage_takes_two_steps_or_three_instead_of_nine():
    better = list(range(100, 0, -1))
    assert batches(TopDown(), better) == [1, 5]
    assert batches(SharedPivot(), better) == [6, 1]
    better[57] = 1000
    assert batches(TopDown(), better) == [1, 5, 1]
    assert batches(SharedPivot(), better) == [6, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: TopDown(20, 20),
        lambda: TopDown(1, 1),
        lambda: TopDown(5, 0),
        lambda: SharedPivot(5, 5),
        lambda: SharedPivot(5, True),
    ],
)
def test_senseless_numbers_are_refused(make: Callable[[], Schedule]):
    with pytest.raises(InputError, match="must be"):
        make()
