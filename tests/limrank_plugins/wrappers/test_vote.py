"""A vote over orders of the list, against the mean taken by hand."""

from __future__ import annotations

from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_parts import QUERY, Part, finished, numbers, told
from scripts import unit

from limrank_plugins.data import Document, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.verdicts import ranked
from limrank_plugins.wrappers.vote import Vote


class ByPlace(Part):
    """Likes some documents, and early places; fails where it is told to."""

    def __init__(self, bias: float, broken: set[tuple[int, str]] = frozenset()) -> None:
        super().__init__(lambda text: Verdict(0.0))
        self.bias, self.broken = bias, broken

    def scores(self, turn: int, texts: list[str]) -> list[float | None]:
        return [
            None if (turn, text) in self.broken else unit(text) - self.bias * place
            for place, text in enumerate(texts)
        ]

    def rank(self, documents):
        texts = [document.text for document in documents]
        turn = len(self.asked)
        self.asked.append(texts)
        yield ["a question"]
        found = self.scores(turn, texts)
        verdicts = tuple(
            Verdict(s, failure=None if s is not None else f"out in turn {turn}", usage=Usage(calls=1))
            for s in found
        )
        return self.outcome(verdicts)

    def outcome(self, verdicts):
        from limrank_plugins.verdicts import Outcome

        return Outcome(verdicts)


class Ordering(ByPlace):
    """The same without scores."""

    def outcome(self, verdicts):
        from limrank_plugins.verdicts import Outcome

        order = ranked(verdicts)
        bare = tuple(Verdict(None, failure=j.failure, usage=j.usage) for j in verdicts)
        return Outcome(bare, order)


broken = st.sets(st.tuples(st.integers(0, 3), st.sampled_from("012345")), max_size=6)


@given(st.integers(0, 6), st.integers(2, 4), broken)
@settings(deadline=None)
def test_the_mean_score(size: int, times: int, out: set[tuple[int, str]]):
    part = ByPlace(0.1, out)
    outcome = finished(Vote(times)(QUERY, numbers(size), [part.rank]))
    assert outcome.order is None
    turns = [dict(zip(texts, part.scores(t, texts), strict=True)) for t, texts in enumerate(part.asked)]
    for i, verdict in enumerate(outcome.verdicts):
        said = [scores[str(i)] for scores in turns]
        votes = [score for score in said if score is not None]
        assert verdict.usage.calls == len(turns)
        if not votes:
            assert (verdict.score, verdict.failure) == (None, "out in turn 0")
        else:
            assert verdict.score == pytest.approx(mean(votes), abs=1e-12)
            assert (verdict.failure, verdict.repairs) == (None, len(said) - len(votes))


@given(st.integers(2, 6), st.integers(2, 4), broken)
@settings(deadline=None)
def test_the_mean_place(size: int, times: int, out: set[tuple[int, str]]):
    part = Ordering(0.1, out)
    outcome = finished(Vote(times)(QUERY, numbers(size), [part.rank]))
    places: dict[str, list[int]] = {str(i): [] for i in range(size)}
    for turn, texts in enumerate(part.asked):
        scores = part.scores(turn, texts)
        judged = sorted((i for i in range(size) if scores[i] is not None), key=lambda i: -scores[i])
        for i in range(size):
            if scores[i] is None:
                judged.insert(min(i, len(judged)), i)
        for place, i in enumerate(judged):
            if scores[i] is not None:
                places[texts[i]].append(place)
    expected = sorted((i for i in range(size) if places[str(i)]), key=lambda i: mean(places[str(i)]))
    assert [i for i in outcome.order if outcome.verdicts[i].failure is None] == expected
    assert [bool(places[str(i)]) for i in range(size)] == [j.failure is None for j in outcome.verdicts]


def test_mirrored_is_forwards_and_backwards_and_favours_no_place():
    part = ByPlace(0.5)
    outcome = finished(Vote(2, mirrored=True)(QUERY, numbers(5), [part.rank]))
    assert part.asked == [list("01234"), list("43210")]
    best = sorted(range(5), key=lambda i: -unit(str(i)))
    assert ranked(outcome.verdicts) == best, "the bias is the same for all in the mean"
    assert ranked(finished(Part(ByPlace(0.5).say).rank(numbers(5))).verdicts) != best


def test_orders_depend_on_seed_and_documents_and_on_nothing_else():
    def orders(wrapper: Vote, documents: list[Document]) -> list[list[str]]:
        part = ByPlace(0.0)
        finished(wrapper(QUERY, documents, [part.rank]))
        return part.asked

    documents = numbers(12)
    first = orders(Vote(4), documents)
    orders(Vote(3, seed=9), numbers(7))
    assert orders(Vote(4), documents) == first
    assert orders(Vote(3), documents) == first[:3], "a further order changes none of those before"
    assert orders(Vote(4, seed=1), documents)[1:] != first[1:]
    assert first[0] == [str(i) for i in range(12)]
    assert len({tuple(order) for order in first}) == 4
    assert all(sorted(order, key=int) == first[0] for order in first)


def test_equal_means_keep_the_first_stages_order():
    part = Ordering(1000.0)  # the place decides alone
    outcome = finished(Vote(2, mirrored=True)(QUERY, numbers(6), [part.rank]))
    assert outcome.order == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [0, 1])
def test_there_is_one_order_of_a_short_list(size: int):
    part = ByPlace(0.1)
    outcome = finished(Vote(3)(QUERY, numbers(size), [part.rank]))
    assert len(part.asked) == 1
    assert len(outcome.verdicts) == size


def test_it_says_what_its_parts_scores_are():
    assert Vote().of([Part(told([]))]).comparable
    assert Vote().of([Part(told([]), score_kind="logit")]).score_kind == "logit"
    assert Vote().of([Part(told([]), comparable=False)]).comparable is False
    with pytest.raises(InputError, match="one recipe"):
        Vote().of([])


@pytest.mark.parametrize(
    "bad", [{"times": 1}, {"times": True}, {"times": 2.0}, {"times": 3, "mirrored": True}]
)
def test_values_that_cannot_be_meant(bad: dict):
    with pytest.raises(InputError):
        Vote(**bad)
