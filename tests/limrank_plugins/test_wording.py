"""Numbers of things and money, as messages write them."""

from __future__ import annotations

import pytest

from limrank_plugins.wording import exact_dollars, in_dollars, number_of, shortened, verb_for


@pytest.mark.parametrize(
    ("number", "noun", "written"),
    [
        (1, "query", "1 query"),
        (0, "query", "0 queries"),
        (12000, "model call", "12,000 model calls"),
        (2, "match", "2 matches"),
        (2, "day", "2 days"),
    ],
)
def test_one_of_a_thing_is_never_several(number: int, noun: str, written: str):
    assert number_of(number, noun) == written


@pytest.mark.parametrize(
    ("verb", "of_one"), [("are", "is"), ("have", "has"), ("were", "was"), ("share", "shares")]
)
def test_a_verb_goes_with_the_number(verb: str, of_one: str):
    assert [verb_for(number, verb) for number in (0, 1, 2)] == [verb, of_one, verb]


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0.0, "$0.00"),
        (1e-9, "less than $0.0001"),
        (0.1 + 0.2, "$0.3000"),
        (0.04577899999999999, "$0.0458"),
        (1.0, "$1.00"),
        (1234.5678, "$1,234.57"),
    ],
)
def test_money_has_no_meaningless_digits(amount: float, written: str):
    assert in_dollars(amount) == written


def test_money_for_machines_has_no_noise():
    assert exact_dollars(sum([0.1] * 3)) == 0.3
    assert exact_dollars(3e-8) == 3e-8


def test_texts_are_cut_to_a_line():
    assert shortened("a b", 3) == "a b"
    assert shortened("a\n b", 4) == "a b"
    assert shortened("abcd", 3) == "ab…"
