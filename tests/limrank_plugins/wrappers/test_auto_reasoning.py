"""Thinking where it matters, against the algorithm written once more and against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_parts import QUERY, Part, finished, numbers, told

from limrank_plugins.errors import InputError
from limrank_plugins.verdicts import Outcome, ranked
from limrank_plugins.wrappers.auto_reasoning import AutoReasoning
from limrank_plugins.wrappers.budget import Budget

grades = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[float | None], list[float | None], list[int]]:
    size = draw(st.integers(0, 14))
    scores = st.lists(st.one_of(grades, grades, grades, st.none()), min_size=size, max_size=size)
    return draw(scores), draw(scores), draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))


budgets = st.builds(
    Budget,
    st.none() | st.integers(1, 15),
    st.none() | st.integers(1, 60),
)


def run(
    cheap: list, dear: list, costs: list, budget: Budget, top: int, wave: int = 5, patience: int = 2
) -> tuple[Outcome, Part]:
    parts = Part(told(cheap)), Part(told(dear, costs))
    wrapper = AutoReasoning(budget, top, wave, patience).of(parts)
    outcome = finished(wrapper(QUERY, numbers(len(cheap)), [part.rank for part in parts]))
    assert parts[0].asked == [[str(i) for i in range(len(cheap))]]
    return outcome, parts[1]


def model(
    cheap: list, dear: list, costs: list, budget: Budget, top: int, size: int, patience: int
) -> list[list[str]]:
    """Which documents are reasoned about in which wave, said plainly."""
    alive = [i for i in range(len(cheap)) if cheap[i] is not None]
    by_score = sorted(alive, key=lambda i: (-cheap[i], i))
    line = sorted(alive, key=lambda i: (i + by_score.index(i), i))
    thought: list[int] = []
    waves: list[list[str]] = []
    vain: list[bool] = []
    while line:
        if budget.tokens is not None and sum(costs[i] for i in thought) >= budget.tokens:
            return waves
        wave = line[:size]
        if budget.documents is not None:
            wave = wave[: budget.documents - len(thought)]
        if not wave:
            return waves
        waves.append([str(i) for i in wave])
        thought += wave
        line = line[len(wave) :]
        best_left = min(((-cheap[i], -cheap[i], i) for i in line), default=(1.0, 0.0, 0))
        standing = [i for i in thought if dear[i] is not None and (-dear[i], -cheap[i], i) < best_left]
        if len(standing) >= top:
            return waves
        lowered = all(dear[i] is None or dear[i] < cheap[i] for i in wave)
        vain.append(bool(standing) and lowered and not set(standing) & set(wave))
        if len(vain) >= patience and all(vain[-patience:]):
            return waves
    return waves


@given(lists(), budgets, st.integers(1, 16), st.integers(1, 9), st.integers(1, 3))
@settings(deadline=None, max_examples=400)
def test_it_thinks_as_the_algorithm_says_and_a_failure_is_one(
    listed: tuple, budget: Budget, top: int, size: int, patience: int
):
    cheap, dear, costs = listed
    outcome, part = run(cheap, dear, costs, budget, top, size, patience)
    assert part.asked == model(cheap, dear, costs, budget, top, size, patience)
    thought = [int(text) for wave in part.asked for text in wave]
    assert len(thought) == len(set(thought)), "never twice"
    if budget.documents is not None:
        assert len(thought) <= budget.documents
    if budget.tokens is not None:
        before_last = [int(text) for wave in part.asked[:-1] for text in wave]
        assert sum(costs[i] for i in before_last) < budget.tokens, "the wave that passes it is the last one"
    for i, verdict in enumerate(outcome.verdicts):
        said = dear[i] if i in thought and cheap[i] is not None else cheap[i]
        assert verdict.score == said
        assert verdict.failure == (None if said is not None else f"no answer about {i}")


@given(lists())
def test_where_one_wave_takes_everything_it_is_the_full_ranking(listed: tuple):
    cheap, dear, costs = listed
    outcome, part = run(cheap, dear, costs, Budget(), top=1, wave=max(1, len(cheap)))
    assert sorted(int(text) for wave in part.asked for text in wave) == [
        i for i, score in enumerate(cheap) if score is not None
    ]
    both = [i for i in range(len(cheap)) if cheap[i] is not None and dear[i] is not None]
    expected = sorted(both, key=lambda i: (-dear[i], -cheap[i], i))
    assert [i for i in ranked(outcome.verdicts) if outcome.verdicts[i].score is not None] == expected


def test_a_document_that_loses_its_place_makes_room_for_the_next():
    outcome, part = run([0.9, 0.8, 0.7, 0.1], [0.0, 0.85, 0.6, 0.9], [0] * 4, Budget(), top=1, wave=1)
    assert part.asked == [["0"], ["1"]]
    assert ranked(outcome.verdicts) == [1, 2, 3, 0]


def test_the_place_it_came_in_counts_as_much_as_the_score_without_reasoning():
    _, part = run([0.5, 0.52, 0.1, 0.51, 0.53], [0.0] * 5, [0] * 5, Budget(), top=1, wave=1)
    assert [text for wave in part.asked for text in wave] == ["1", "0", "4", "3", "2"]


def test_few_relevant_documents_do_not_cost_the_whole_list():
    """One of sixty is relevant: reasoning puts all others below those that it was not asked about."""
    cheap = [0.3] * 60
    dear = [0.001] * 60
    dear[3] = 0.999
    outcome, part = run(cheap, dear, [0] * 60, Budget(), top=10)
    assert [len(wave) for wave in part.asked] == [5, 5, 5], "the third is the second that finds nothing"
    assert ranked(outcome.verdicts)[0] == 3


def test_as_long_as_nothing_is_relevant_it_goes_on():
    dear = [0.001] * 20 + [0.999]
    outcome, part = run([0.3] * 21, dear, [0] * 21, Budget(), top=10)
    assert [len(wave) for wave in part.asked] == [5, 5, 5, 5, 1]
    assert ranked(outcome.verdicts)[0] == 20


def test_seconds_end_it_after_the_wave_that_passes_them():
    cheap = Part(told([0.5] * 20))
    dear = Part(told([0.5] * 20, seconds=0.5))
    wrapper = AutoReasoning(Budget(seconds=4.1), top=20)
    finished(wrapper(QUERY, numbers(20), [cheap.rank, dear.rank]))
    assert [len(wave) for wave in dear.asked] == [5, 5], "2.5 seconds are not 4.1"


def test_the_cost_of_both_is_counted():
    cheap, dear = Part(told([0.5, 0.6], 3)), Part(told([0.5, None], 10))
    outcome = finished(AutoReasoning(top=2)(QUERY, numbers(2), [cheap.rank, dear.rank]))
    assert [verdict.usage.prompt_tokens for verdict in outcome.verdicts] == [13, 13]


def test_scores_must_be_of_one_kind():
    good = Part(told([]))
    for parts in (
        [good],
        [good, Part(told([]), comparable=False)],
        [good, Part(told([]), score_kind="logit")],
        [good, good, good],
    ):
        with pytest.raises(InputError, match="each document on its own"):
            AutoReasoning().of(parts)
    logit = Part(told([]), score_kind="logit")
    assert AutoReasoning().of([logit, logit]).score_kind == "logit"


@pytest.mark.parametrize("value", [0, -1, True, 2.5])
@pytest.mark.parametrize("name", ["top", "wave", "patience"])
def test_top_wave_and_patience_are_whole_numbers(name: str, value: object):
    with pytest.raises(InputError, match=name):
        AutoReasoning(**{name: value})
