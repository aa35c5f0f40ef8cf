"""Schedules against brute force with perfect, lazy and hostile models."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_plugins.schedules import (
    AllPairs,
    BubbleTopK,
    Chunks,
    HeapTopK,
    Once,
    ReleasedBubble,
    Schedule,
    SlidingWindow,
)
from limrank_plugins.verdicts import Order
from plans import HOSTILE, best, drive, perfect_orderer, perfect_selector, relevance

counts = st.integers(0, 60)


@given(counts, st.integers(2, 25), st.data(), st.integers(1, 3), st.integers())
@settings(max_examples=300)
def test_sliding_window(count: int, window: int, data: st.DataObject, passes: int, seed: int):
    stride = data.draw(st.integers(1, window - 1))
    schedule, better = SlidingWindow(window, stride, passes), relevance(count, seed)
    order, asked = drive(schedule, count, perfect_orderer(better))
    assert sorted(order) == list(range(count))
    assert len(asked) == schedule.calls(count)
    sure = count if count <= window else passes * (window - stride)
    assert order[:sure] == best(better, count)[:sure]
    assert all(2 <= len(group) <= window for group in asked)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 19, 20, 21, 25, 30, 100])
def test_the_released_loops_failures_do_not_happen(count: int):
    """window 20, stride 10: no window at all for 10 documents, head never seen for 25, nothing for < 20."""
    better = relevance(count, 3)
    order, asked = drive(SlidingWindow(20, 10), count, perfect_orderer(better))
    assert order[:10] == best(better, 10)
    if count >= 2:
        assert {i for group in asked for i in group} == set(range(count)), "every document is seen"
    assert len(drive(SlidingWindow(20, 10), 100, perfect_orderer(relevance(100, 1)))[1]) == 9


@given(counts, st.integers(1, 8), st.integers(1, 15), st.integers())
@settings(max_examples=300)
def test_heap(count: int, children: int, top: int, seed: int):
    schedule, better = HeapTopK(children, top), relevance(count, seed)
    order, asked = drive(schedule, count, perfect_selector(better))
    chosen = best(better, top)
    assert order == chosen + [i for i in range(count) if i not in chosen]
    assert len(asked) <= schedule.calls(count)
    assert all(2 <= len(group) <= children + 1 for group in asked)


@given(counts, st.integers(2, 9), st.integers(1, 15), st.integers())
@settings(max_examples=300)
def test_bubble(count: int, window: int, top: int, seed: int):
    schedule, better = BubbleTopK(window, top), relevance(count, seed)
    order, asked = drive(schedule, count, perfect_selector(better))
    assert order[:top] == best(better, top)
    assert sorted(order) == list(range(count))
    assert len(asked) <= schedule.calls(count)
    assert len(asked) == len(set(asked)), "a group is asked about once"
    assert all(2 <= len(group) <= window for group in asked)


@given(counts, st.integers(1, 12), st.integers())
def test_windows_of_two_are_the_first_passes_of_a_bubble_sort(count: int, passes: int, seed: int):
    """PRP-Sliding-K: neighbours are compared from the bottom of the list to its top, K times."""
    better = relevance(count, seed)
    schedule = BubbleTopK(2, passes)
    order, asked = drive(schedule, count, perfect_selector(better))
    sorting = list(range(count))
    for done in range(min(passes, count - 1)):
        for i in range(count - 2, done - 1, -1):
            if better[sorting[i + 1]] > better[sorting[i]]:
                sorting[i], sorting[i + 1] = sorting[i + 1], sorting[i]
    assert order == sorting
    assert order[:passes] == best(better, count)[:passes]
    assert len(asked) <= schedule.calls(count)


def test_the_case_the_released_bubble_gets_wrong():
    """Eight documents, two children, k = 7; run with the released optimised loop, which loses one."""
    order, _ = drive(BubbleTopK(3, 7), 8, perfect_selector(list(range(8))))
    assert order == [7, 6, 5, 4, 3, 2, 1, 0]
    released, _ = drive(ReleasedBubble(3, 7), 8, perfect_selector(list(range(8))))
    assert released == [7, 6, 5, 4, 3, 2, 0, 1]


@given(st.integers(0, 25), st.integers(1, 12), st.integers())
def test_a_pair_that_is_asked_about_both_ways_round_is_asked_about_once(count: int, top: int, seed: int):
    selector = perfect_selector(relevance(count, seed))
    order, asked = drive(BubbleTopK(2, top, symmetric=True), count, selector)
    assert len(asked) == len({frozenset(group) for group in asked})
    assert (order, asked[:1]) == (
        (plain := drive(BubbleTopK(2, top), count, selector))[0],
        plain[1][:1],
    )


@given(st.integers(0, 15), st.integers())
def test_all_pairs(count: int, seed: int):
    better = relevance(count, seed)
    order, asked = drive(AllPairs(), count, perfect_selector(better))
    assert order == best(better, count)
    assert len(asked) == AllPairs().calls(count)


@given(counts, st.integers(1, 9))
def test_pointwise(count: int, size: int):
    order, asked = drive(Chunks(size), count, lambda group: Order(tuple(range(len(group)))))
    assert order is None
    assert [i for group in asked for i in group] == list(range(count))
    assert len(asked) == Chunks(size).calls(count)
    _, asked = drive(Once(), count, lambda group: Order(tuple(range(len(group)))))
    assert asked == ([tuple(range(count))] if count else [])
    assert len(asked) == Once().calls(count)


ALL = [
    SlidingWindow(4, 2),
    SlidingWindow(20, 10, 2),
    HeapTopK(3, 4),
    HeapTopK(1, 3),
    BubbleTopK(4, 5),
    AllPairs(),
]


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@pytest.mark.parametrize("mood", HOSTILE)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 19, 33])
def test_hostile_models_end_in_a_permutation(schedule: Schedule, mood: str, count: int):
    order, asked = drive(schedule, count, HOSTILE[mood])
    assert sorted(order) == list(range(count))
    assert len(asked) <= schedule.calls(count)
    if count < 2:
        assert asked == []


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@pytest.mark.parametrize("count", [2, 5, 19, 33])
def test_a_model_that_abstains_changes_nothing(schedule: Schedule, count: int):
    assert drive(schedule, count, HOSTILE["abstains"])[0] == list(range(count))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SlidingWindow(10, 10),
        lambda: SlidingWindow(1, 1),
        lambda: SlidingWindow(5, 0),
        lambda: SlidingWindow(5, 2, 0),
        lambda: HeapTopK(0, 1),
        lambda: HeapTopK(1, 0),
        lambda: BubbleTopK(1, 1),
        lambda: BubbleTopK(2, True),
        lambda: Chunks(0),
    ],
)
def test_senseless_numbers_are_refused(make: Callable[[], Schedule]):
    with pytest.raises(InputError, match="must be"):
        make()
