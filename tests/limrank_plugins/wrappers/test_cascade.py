"""A cheap ranking's head in a dear one's order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_parts import QUERY, Part, finished, numbers, told

from limrank_plugins.data import Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.rankings import to_ranking
from limrank_plugins.recipes import load_recipe
from limrank_plugins.verdicts import Outcome
from limrank_plugins.wrappers.budget import Budget
from limrank_plugins.wrappers.cascade import Cascade

grades = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.none(), st.sampled_from([0.2, 0.3, 0.4]))


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[float | None], list[float | None], list[int]]:
    size = draw(st.integers(2, 20))
    scores = st.lists(grades, min_size=size, max_size=size)
    return draw(scores), draw(scores), draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))


def best_first(scores: list[float | None], of: list[int]) -> list[int]:
    """Those that have a score, by it, ties as they came."""
    return sorted((i for i in of if scores[i] is not None), key=lambda i: -scores[i])


@given(
    lists(),
    st.integers(1, 22),
    st.none() | st.integers(1, 22),
    st.none() | st.integers(1, 80),
)
@settings(deadline=None, max_examples=400)
def test_the_head_is_judged_from_its_front_until_the_budget_ends(
    listed: tuple, top: int, documents: int | None, tokens: int | None
):
    first, then, costs = listed
    size = len(first)
    cheap, dear = Part(told(first)), Part(told(then, costs))
    outcome = finished(Cascade(Budget(documents, tokens), top)(QUERY, numbers(size), [cheap.rank, dear.rank]))

    ranked = best_first(first, list(range(size)))
    head = ranked[: documents if documents is not None else top]
    judged: list[int] = []
    while len(judged) < len(head):
        if tokens is not None and judged and sum(costs[i] for i in judged) >= tokens:
            break
        judged += head[len(judged) :][: 8 if tokens is not None else None]
    assert [int(text) for wave in dear.asked for text in wave] == judged

    expected = [*best_first(then, judged), *ranked[len(judged) :]]
    failed = sorted(set(range(size)).difference(expected))
    for i in failed:  # at their input positions
        expected.insert(min(i, len(expected)), i)
    ranking = to_ranking(load_recipe("cascade"), QUERY, numbers(size), outcome)
    assert ranking.ids == [str(i) for i in expected]
    assert [failure.id for failure in ranking.failures] == [str(i) for i in failed]
    assert all(hit.score is None for hit in ranking)


def test_a_part_that_makes_an_order_is_followed():
    cheap = Part(told([0.1, 0.2, 0.3, 0.4, 0.5]))
    backwards = Part(
        lambda text: Verdict(None), order=lambda texts: list(range(len(texts)))[::-1], comparable=False
    )
    outcome = finished(Cascade(top=3)(QUERY, numbers(5), [cheap.rank, backwards.rank]))
    assert backwards.asked == [["4", "3", "2"]], "it sees the head in the cheap part's order"
    assert outcome.order == [2, 3, 4, 1, 0]


def test_a_failure_without_a_reason_is_a_failure():
    cheap = Part(lambda text: Verdict(None if text == "1" else 1.0))
    dear = Part(told([0.1, 0.2, 0.3]))
    outcome = finished(Cascade()(QUERY, numbers(3), [cheap.rank, dear.rank]))
    assert dear.asked == [["0", "2"]]
    assert outcome.verdicts[1].failure == "no reason given"


def test_where_the_cheap_part_fails_for_all_the_dear_one_is_not_asked():
    dear = Part(told([0.1, 0.2]))
    outcome = finished(Cascade()(QUERY, numbers(2), [Part(told([None, None])).rank, dear.rank]))
    assert dear.asked == []
    assert outcome.order == [0, 1]


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_is_asked_about_fewer_than_two(size: int):
    part = Part(told([0.5]))
    outcome = finished(Cascade()(QUERY, numbers(size), [part.rank, part.rank]))
    assert (part.asked, outcome) == ([], Outcome((Verdict(None),) * size, list(range(size))))


def test_what_cannot_be_stopped_gets_no_budget_that_stops_it():
    groups = Part(told([]), name="rankgpt", comparable=False)
    for budget in (Budget(tokens=5), Budget(seconds=1.0)):
        with pytest.raises(InputError, match="'rankgpt' judges documents together"):
            Cascade(budget).of([groups, groups])
    assert Cascade(Budget(documents=5)).of([groups, groups]).comparable is False
    with pytest.raises(InputError, match="two recipes"):
        Cascade().of([groups])
    with pytest.raises(InputError, match="top"):
        Cascade(top=0)
