"""Citations: what is read, what is kept out."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limrank_pipelines.citations import CITED, neutral, read_citations
from limrank_plugins.readouts.labels import TAG


@pytest.mark.parametrize(
    ("text", "shown", "numbers", "strangers"),
    [
        ("Acid curdles milk [2].", "Acid curdles milk [2].", (2,), 0),
        ("Both [3][1] and again [3].", "Both [3][1] and again [3].", (3, 1), 0),
        ("Lists [1, 3] and [2;3].", "Lists [1][3] and [2][3].", (1, 3, 2), 0),
        ("Words [1 and 2] and [1, and 3].", "Words [1][2] and [1][3].", (1, 2, 3), 0),
        ("Ranges [1-3].", "Ranges [1][2][3].", (1, 2, 3), 0),
        ("Ranges [2–9].", "Ranges [2][3].", (2, 3), 1),
        ("No range [3-1].", "No range [3][1].", (3, 1), 0),
        ("Nobody [7].", "Nobody.", (), 1),
        ("Nobody [0], [4, 1].", "Nobody, [1].", (1,), 2),
        ("All there is [1-999999].", "All there is [1][2][3].", (1, 2, 3), 1),
        ("Spaces [ 2 ].", "Spaces [2].", (2,), 0),
        ("No citation: [a], [1.5], [12345678], (2), [²].", None, (), 0),
        ("", "", (), 0),
    ],
)
def test_reading(text: str, shown: str | None, numbers: tuple[int, ...], strangers: int):
    assert read_citations(text, 3) == (text if shown is None else shown, numbers, strangers)


@given(st.text(st.sampled_from("[]0123,; -–and\n\x00x"), max_size=60), st.integers(0, 5))
@example("[1" + ",1" * 40 + "]", 3)
def test_any_text_gives_valid_citations_and_reading_again_changes_nothing(text: str, size: int):
    read = read_citations(text, size)
    assert len(set(read.numbers)) == len(read.numbers)
    assert all(1 <= number <= size for number in read.numbers)
    again = read_citations(read.text, size)
    assert again.numbers == read.numbers
    # What is left out may bring brackets together: a stranger only, never a citation.
    assert set(again.numbers) <= set(read.numbers)


@given(st.text(st.sampled_from("[](){}<>/123,; -–andthinkswer"), max_size=60))
@example("[[1]]")
@example("[1[2]]")
@example("<think[1]>[1, 2]</answer>")
def test_nothing_that_reads_as_a_citation_or_a_tag_is_left(text: str):
    left = neutral(text)
    assert CITED.search(left) is None
    assert TAG.search(left) is None
    assert read_citations(left, 9).numbers == ()


def test_other_text_is_left_alone():
    text = "a[0.5] {x} (1) [see below] <b>"
    assert neutral(text) == text
