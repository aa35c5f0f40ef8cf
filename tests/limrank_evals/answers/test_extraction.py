"""Which option a text chose: a table of what models write, and what must hold for any text."""

from __future__ import annotations

import pytest
from answer_cases import CASES, CELL
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.answers import choice_letters, extract_choice
from limrank_plugins.errors import InputError


@pytest.mark.parametrize("case", CASES, ids=[str(case[0])[:40] for case in CASES])
def test_the_table(case: tuple[str, str | None]):
    text, wanted, *choices = case
    assert extract_choice(text, *choices) == wanted


def test_the_table_is_long_and_has_every_letter_and_none():
    assert len(CASES) >= 80
    assert {case[1] for case in CASES} >= {"A", "B", "C", "D", None}


PIECES = [
    *"ABCDEabcd(){}[].,:;*?!\n\"'$_`-&/#=",
    *(
        "\\boxed{",
        "}",
        "\\text{",
        "<think>",
        "</think>",
        " ",
        "the answer is ",
        "answer",
        "not ",
        "n't ",
        "but ",
    ),
    *(
        "I would say ",
        "correct",
        " or ",
        " and ",
        "it's ",
        "isn't ",
        "neither ",
        "A, ",
        "(B)",
        "vitamin ",
        "final ",
    ),
    *("the nucleus", "all of the above", "İ", "ß", "\u2028", "\ud800", "Ｂ", "cannot "),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.integers(1, 26))
def test_any_text_has_an_answer_among_the_options_or_none(text: str, count: int):
    found = extract_choice(text, count)
    assert found is None or found in choice_letters(count)


@given(st.text(max_size=200))
def test_any_text_at_all(text: str):
    assert extract_choice(text, CELL) in {None, *"ABCD"}
    assert extract_choice(text) in {None, *"ABCD"}


STATEMENTS = [
    "The answer is ({}).",
    "Answer: {}",
    "**{}**",
    "I would say ({})",
    "{} is correct.",
    "\\boxed{{{}}}",
    "{}",
]


@given(
    st.sampled_from(STATEMENTS),
    st.sampled_from("ABCDEFGH"),
    st.sampled_from(["", "\n", "Let me think about it.\n\n", "(A) and (B) differ in size.\n\n"]),
    st.sampled_from(["", "\n\n", "  ", "\n\n\n "]),
)
def test_a_statement_is_found_behind_anything(statement: str, letter: str, before: str, after: str):
    assert extract_choice(before + statement.format(letter) + after, 8) == letter


@given(st.sampled_from(STATEMENTS[:-1]), st.permutations("ABCD"))
def test_letters_are_treated_alike(statement: str, letters: list[str]):
    one, other = letters[:2]
    assert extract_choice(statement.format(one)) == one
    assert extract_choice(f"The answer is not {one} but {other}.") == other
    assert extract_choice(f"The answer is {one} or {other}.") is None
    assert extract_choice(f"{one} is wrong. {other} is correct.") == other


def test_long_texts_are_read_too():
    filler = "Some say that (A) or maybe B is the answer to which option is so. " * 2000
    assert extract_choice(filler + "\n\nThe answer is C.") == "C"
    assert extract_choice("(" * 20_000 + "B") in {"B", None}


@pytest.mark.parametrize("count", [0, 27, -1])
def test_questions_have_1_to_26_options(count: int):
    with pytest.raises(InputError, match=f"1 to 26 options, but this has {count}"):
        extract_choice("A", count)
