"""Reading orders and choices from whatever a model writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.readouts.labels import ALPHABETIC, NUMERIC
from limrank_plugins.readouts.parsing import answer_in, parse_choice, parse_order, repair, split_reasoning

sizes = st.integers(0, 12)
texts = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "[1]",
            "[2]",
            "[3]",
            "[0]",
            "[99]",
            " > ",
            "2",
            "A",
            "9" * 5000,
        ]
    )
    | st.text(max_size=8)
).map("".join)


@given(st.lists(st.integers(-3, 15)), sizes)
def test_repair_is_a_permutation_that_begins_with_the_valid_ones(given_: list[int], size: int):
    order, repaired, empty = repair(given_, size)
    assert sorted(order) == list(range(size))
    first = [p for i, p in enumerate(given_) if 0 <= p < size and p not in given_[:i]]
    assert list(order[: len(first)]) == first
    assert list(order[len(first) :]) == sorted(order[len(first) :]), "the missing follow in their order"
    assert repaired == (list(order) != given_)
    assert empty == (size > 0 and not first)
    assert repair(order, size) == (order, False, False), "idempotent"


def test_both_ends_are_out_of_range():
    """Position -1 would be the last document, as in ReasonRank's reward."""
    assert repair([-1, 2, 3, 0], 3) == ((2, 0, 1), True, False)


@given(texts, sizes, st.booleans(), st.sampled_from([NUMERIC, ALPHABETIC]))
def test_any_text_gives_a_permutation(text: str, size: int, tagged: bool, labels: object):
    read = parse_order(text, labels, size, tagged=tagged)
    assert sorted(read.order) == list(range(size))


@given(texts, st.integers(1, 12), st.booleans(), st.booleans(), st.sampled_from([NUMERIC, ALPHABETIC]))
def test_any_text_gives_a_choice_or_none(text: str, size: int, tagged: bool, exact: bool, labels: object):
    read = parse_choice(text, labels, size, tagged=tagged, exact=exact)
    assert read.position is None or 0 <= read.position < size
    assert read.repaired or read.position is not None, "no choice is never silent"


@given(st.permutations(range(7)), st.permutations(range(7)))
def test_a_well_formed_answer_needs_no_repair(order: list[int], shown: list[int]):
    text = " > ".join(f"[{i + 1}]" for i in order)
    assert parse_order(text, NUMERIC, 7) == (tuple(order), False, False)
    wrapped = f"<think>[7] > [1] <answer>[2]</answer></think>\n<answer> {text} </answer>"
    assert parse_order(wrapped, NUMERIC, 7, tagged=True) == (tuple(order), False, False)
    assert parse_order(text, NUMERIC, shown).order == tuple(shown[i] for i in order)


@pytest.mark.parametrize(
    ("text", "order", "repaired"),
    [
        ("[2] > [1]", (1, 0, 2), True),
        ("[2] > [2] > [1] > [3]", (1, 0, 2), True),
        ("[0] > [3] > [4] > [1] > [2]", (2, 0, 1), True),
        ("Sure! [3] > [1] > [2]", (2, 0, 1), False),
        ("3 > 1 > 2", (2, 0, 1), False),
        ("[3, 1, 2]", (2, 0, 1), False),
        ("Of the 3 passages, 2 are good", (0, 1, 2), True),
        ("(3) > (1) > (2)", (0, 1, 2), True),
        ("", (0, 1, 2), True),
        ("[" + "3" * 5000 + "] > [3]", (2, 0, 1), True),
        ("<think>[2] is better than [1]</think>[3] > [1] > [2]", (2, 0, 1), False),
        ("<think>[2] is better than [1]", (0, 1, 2), True),
    ],
)
def test_orders(text: str, order: tuple[int, ...], repaired: bool):
    read = parse_order(text, NUMERIC, 3)
    assert (read.order, read.repaired) == (order, repaired)


@pytest.mark.parametrize(
    ("text", "order", "repaired"),
    [
        ("<think>t</think> <answer>[3] > [1] > [2]</answer>", (2, 0, 1), False),
        ("<answer>[3] > [1] > [2]</answer>", (2, 0, 1), False),
        ("t</think><answer>[3] > [1] > [2]", (2, 0, 1), False),
        ("<think>t</think><answer>[1]</answer> no: <answer>[3] > [1] > [2]</answer>", (2, 0, 1), False),
        ("<think>t</think> [3] > [1] > [2]", (2, 0, 1), True),
        # Nothing but a list is read and counted; prose is not read.
        ("[3] > [1] > [2]", (2, 0, 1), True),
        ("3 > 1 > 2", (2, 0, 1), True),
        ("[2] speaks of tea, [1] of coffee, and [3] of", (0, 1, 2), True),
        ("<think>so <answer>[2] > [1]</answer>", (0, 1, 2), True),
        ("<think>so <answer>[2]</answer></think>", (0, 1, 2), True),
        ("<THINK>t</Think><Answer>[3] > [1] > [2]</ANSWER>", (2, 0, 1), False),
    ],
)
def test_tagged_orders(text: str, order: tuple[int, ...], repaired: bool):
    read = parse_order(text, NUMERIC, 3, tagged=True)
    assert (read.order, read.repaired) == (order, repaired)


@pytest.mark.parametrize(
    ("text", "exact", "position", "repaired"),
    [
        ("<think>t</think><answer>[2]</answer>", True, 1, False),
        ("<think>t</think>\n<answer> [2]\n</answer>", True, 1, False),
        ("<think>[1]?</think><answer>2</answer>", True, None, True),
        ("<think>t</think><answer>Document [2]</answer>", True, None, True),
        ("<think>t</think><answer>[4]</answer>", True, None, True),
        ("<think>t</think><answer>[0]</answer>", True, None, True),
        ("<think>t</think>[2]", True, None, True),
        ("[2]", True, None, True),
        ("<think>t <answer>[2]</answer>", True, None, True),
        ("<think>t</think><answer>[1]</answer><answer>[2]</answer>", True, 1, False),
        ("<think>t</think><answer>Document [2]</answer>", False, 1, True),
        ("<think>t</think><answer>2</answer>", False, 1, False),
        ("<think>t</think><answer>[1] or [2]</answer>", False, None, True),
        ("<think>t</think><answer>(2)</answer>", False, None, True),
    ],
)
def test_tagged_choices(text: str, exact: bool, position: int | None, repaired: bool):
    assert parse_choice(text, NUMERIC, 3, tagged=True, exact=exact) == (position, repaired)


@pytest.mark.parametrize(
    ("text", "position", "repaired"),
    [
        (" B", 1, False),
        ("[B]", 1, False),
        ("B.", 1, False),
        ("Passage [B], clearly", 1, True),
        ("Because passage B says so", None, True),
        ("D", None, True),
        ("A, B", None, True),
        ("", None, True),
    ],
)
def test_letters(text: str, position: int | None, repaired: bool):
    assert parse_choice(text, ALPHABETIC, 3) == (position, repaired)


def test_thoughts():
    assert split_reasoning("no tags") == (None, "no tags")
    assert split_reasoning("<think> a </think> b") == ("a", " b")
    assert split_reasoning("a</think>b") == ("a", "b")
    assert split_reasoning("<think>a</think>b</think>c") == ("a</think>b", "c"), "the last one ends it"
    assert split_reasoning("x<think>never closed") == ("never closed", "")


def test_answers():
    assert answer_in("nothing") is None
    assert answer_in("</answer>") is None
    assert answer_in("<answer>a</answer> <answer>b</answer> c") == "b"
    assert answer_in("<answer>cut off") == "cut off"


@given(st.permutations(range(7)))
def test_orders_as_models_write_them(order: list[int]):
    numbers = [i + 1 for i in order]
    for text in (
        " > ".join(f"Passage {n}" for n in numbers),
        " > ".join(f"[Passage {n}]" for n in numbers),
        " > ".join(f"[rank {n}]" for n in numbers),
        " > ".join(f"\\[{n}\\]" for n in numbers),
        " > ".join(f"\uff3b{n}\uff3d" for n in numbers),
        " > ".join(f"\u3010{chr(0xFF10 + n)}\u3011" for n in numbers),
        f"```json\n{numbers}\n```",
        f'{{"ranking": {numbers}, "note": "3 are good"}}',
        f"Answer: {' > '.join(map(str, numbers))}",
        f"The ranking is {' > '.join(map(str, numbers))}.",
        f"identifiers: {' > '.join(map(str, numbers))}",
        "\n".join(f"Doc: {n}, Relevance: {9 - place}" for place, n in enumerate(numbers)),
    ):
        assert parse_order(text, NUMERIC, 7) == (tuple(order), False, False), text
    ascending = " < ".join(f"[{n}]" for n in numbers)
    assert parse_order(ascending, NUMERIC, 7) == (tuple(reversed(order)), True, False)
    assert parse_order(ascending.replace("[", "").replace("]", ""), NUMERIC, 7).order == tuple(
        reversed(order)
    )


def test_ranges():
    assert parse_order("[1-3]", NUMERIC, 3) == ((0, 1, 2), False, False)
    assert parse_order("[4] > [1-3]", NUMERIC, 4).order == (3, 0, 1, 2)
    assert parse_order("[3-1]", NUMERIC, 3).order == (2, 1, 0)
    assert sorted(parse_order("[1-999999]", NUMERIC, 3).order) == [0, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "Of the 3 passages, 2 are good",
        "Since 3 > 2, milk is sour.",
        "Passage 1 is about bread.\nPassage 2 is about milk.",
        "Passage 2 says more than passage 1",
        "In 2021, 3 of 10 died.",
        "The answer is 42.",
    ],
)
def test_prose_that_mentions_numbers_is_no_order(text: str):
    assert parse_order(text, NUMERIC, 3).empty
