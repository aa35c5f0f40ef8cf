"""Guesses that do not see the query: against all pairs, and where they must fail or succeed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_synth import load_open
from limrank_synth.passage_alone import area_under_roc, passage_alone


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30).filter(
        lambda items: len({label for _, label in items}) == 2
    )
)
def test_the_area_is_the_share_of_ordered_pairs(items: list[tuple[int, bool]]) -> None:
    relevant = [score for score, label in items if label]
    others = [score for score, label in items if not label]
    pairs = [(mine > other) + (mine == other) / 2 for mine in relevant for other in others]
    scores, labels = zip(*items, strict=True)
    assert area_under_roc(scores, labels) == pytest.approx(sum(pairs) / len(pairs))


def test_what_tells_without_the_query() -> None:
    rows = load_open("dev")
    draw = random.Random(3)
    # The word "yes" in all passages that help; else the words of both kinds are the same ones.
    marked = [
        replace(
            row,
            passage=" ".join(draw.choices(("milk", "acid", "lemon", "tea"), k=30)) + " yes" * row.relevant,
        )
        for row in rows
    ]
    guess = passage_alone(marked, marked)
    assert guess.words == 1.0
    assert guess.length == 1.0  # by that word
    blind = [replace(row, relevant=draw.random() < 0.5) for row in marked]
    assert passage_alone(marked, blind).words == pytest.approx(0.5, abs=0.12)
