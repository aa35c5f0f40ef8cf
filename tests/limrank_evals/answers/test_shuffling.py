"""OptionOrder options: reproducible, even, and back again."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.answers.shuffling import OptionOrder, shuffled
from limrank_plugins.errors import InputError

CHOICES = ("one", "two", "three", "four")


@given(
    st.lists(st.text(max_size=5), min_size=1, max_size=26), st.text(), st.integers(0, 5), st.integers(0, 5)
)
def test_there_and_back(choices: list[str], question: str, sample: int, seed: int):
    made = shuffled(choices, question, sample=sample, seed=seed)
    assert sorted(made.order) == list(range(len(choices)))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(choices)]
    for letter, shown in zip(letters, made.choices, strict=True):
        own = made.original(letter)
        assert own is not None
        assert choices[letters.index(own)] == shown
        assert made.shown(own) == letter
    assert made == shuffled(choices, question, sample=sample, seed=seed)


def test_the_order_is_drawn_once_for_all_machines():
    assert shuffled(CHOICES, "q1").order == (0, 2, 3, 1)
    assert shuffled(CHOICES, "q1", sample=1).order != shuffled(CHOICES, "q1").order
    assert shuffled(CHOICES, "q1", seed=1) == shuffled(CHOICES, "q1", seed=1)


def test_every_place_is_as_likely():
    places = Counter(shuffled(CHOICES, f"q{i}").shown("A") for i in range(4000))
    assert set(places) == set("ABCD")
    assert all(abs(count - 1000) < 120 for count in places.values())  # 4 standard deviations


def test_the_rest():
    unshuffled = OptionOrder(CHOICES, (0, 1, 2, 3))
    assert unshuffled.original("C") == "C"
    assert unshuffled.original(None) is None
    for wrong in ("E", "AB", "", "a"):
        with pytest.raises(InputError, match="A to D"):
            unshuffled.original(wrong)
        with pytest.raises(InputError, match="A to D"):
            unshuffled.shown(wrong)
    with pytest.raises(InputError, match="1 to 26"):
        shuffled([], "q")
