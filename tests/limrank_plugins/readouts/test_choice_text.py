"""Choices in words: read where a sentence says that one document is the answer, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.readouts.choice_text import chosen_in_words
from limrank_plugins.readouts.labels import ALPHABETIC, NUMERIC, Labels
from limrank_plugins.readouts.parsing import parse_choice

CHOICES = [
    "{word} {name}",
    "{word}: {name}.",
    "**{word} {name}**",
    "{word} {name} is the most relevant.",
    "{word} {name} is the most relevant {word} to the query.",
    "{word} {name} seems to be the best, since it is about tea.",
    "{word} {name} best answers the query.",
    "{word} {name} answers the query best.",
    "The most relevant {word} is {name}.",
    "The most relevant {word} is **{word} {name}**.",
    "The {word} most relevant to the query is {word} {name}.",
    "The best {word} to answer the query is: {name}",
    "Best {word}: {name}",
    "My choice is {name}.",
    "I think {word} {name} is the most relevant, because it is long.",
    "Based on the query, {word} {name} is the best one.",
    "I would choose {word} {name} because it is about tea.",
    "{word} {name} is the most relevant. It is about tea. The others are about coffee.",
]
ANSWERS = [
    "The answer is {name}.",
    "Answer: {name}",
    "**Answer:** {name}",
    "The correct answer is: **{name}**",
]
OTHERWISE = [
    "{word} {name} is off topic.",
    "{word} {name} is not the most relevant.",
    "{word} {name} isn't the best.",
    "{word} {name} is the least relevant of the most recent.",
    "If {word} {name} is the most relevant, it is by chance.",
    "Is {word} {name} the most relevant?",
    "{word} {name} or {word} {other} is the most relevant.",
    "Both {word} {name} and {word} {other} are the best.",
    "{word} {name} is the most relevant. {word} {other} is the most relevant.",
    "The author of {word} {name} is the most relevant.",
    "Because {word} {name} says so",
    "{word} {name} and {word} {other}",
    "I would not choose {word} {name}.",
]
words = st.sampled_from(["Passage", "passage", "Document", "Doc", "Text", "Candidate"])
places = st.integers(0, 3)


def name_of(labels: Labels, position: int) -> str:
    return labels.shown(4)[position].strip("[]")


@given(st.sampled_from(CHOICES), words, places, st.sampled_from([NUMERIC, ALPHABETIC]))
def test_who_says_so_chooses(template: str, word: str, place: int, labels: Labels):
    text = template.format(word=word, name=name_of(labels, place))
    assert parse_choice(text, labels, 4) == (place, True)
    assert parse_choice(text, labels, 4, exact=True) == (None, True)
    assert parse_choice(f"<answer>{text}</answer>", labels, 4, tagged=True) == (place, True)
    assert parse_choice(text, labels, place).position is None, "a document that is not shown"


@given(st.sampled_from(ANSWERS), places)
def test_an_answer_is_a_letter_and_no_number(template: str, place: int):
    assert parse_choice(template.format(name=name_of(ALPHABETIC, place)), ALPHABETIC, 4).position == place
    # "The answer is 2." may answer the query itself.
    assert parse_choice(template.format(name=name_of(NUMERIC, place)), NUMERIC, 4).position is None


@given(
    st.sampled_from(OTHERWISE),
    words,
    st.permutations(range(4)),
    st.sampled_from([NUMERIC, ALPHABETIC]),
)
def test_who_does_not_say_so_chooses_nothing(template: str, word: str, order: list[int], labels: Labels):
    name, other = (name_of(labels, place) for place in order[:2])
    assert parse_choice(template.format(word=word, name=name, other=other), labels, 4).position is None


_PLAIN = ["A", "a", "I", "cat", "is", "the", "most", "relevant", "best", "found", "in", "it", ".", ",", ":"]


@given(st.lists(st.sampled_from(_PLAIN), min_size=1).map(" ".join))
def test_without_a_word_for_documents_or_answers_no_letter_is_one(text: str):
    assert chosen_in_words(text, ALPHABETIC, 9) is None


@given(
    st.sampled_from(
        [
            "The answer is A {noun}.",
            "The best passage is A {noun}",
            "A {noun} is the most relevant passage.",
            "Passage A {noun} found is the most relevant.",
            "The most relevant passage: A {noun} of tea",
            "I would choose A {noun}.",
            "a {noun} is the answer",
            "The best passage is a {noun}",
            "The best passage is a",
        ]
    ),
    st.text("bcdefghjklmopqrtuvwxyz", min_size=2, max_size=9),
    st.booleans(),
)
def test_an_article_is_no_label(template: str, noun: str, shouted: bool):
    text = template.format(noun=noun)
    if shouted and not text.endswith(" a"):
        text = text.upper()
    assert parse_choice(text, ALPHABETIC, 4).position is None


def test_of_two_the_better_one_is_the_best():
    text = "Passage B is more relevant than Passage A."
    assert parse_choice(text, ALPHABETIC, 2).position == 1
    assert parse_choice(text, ALPHABETIC, 3).position is None


@pytest.mark.parametrize("text", ["[Passage 2]", r"\[2\]", "【2】", "[２]", "Passage [2]"])
def test_labels_in_other_brackets_are_labels(text: str):
    assert parse_choice(text, NUMERIC, 3).position == 1


@pytest.mark.parametrize("labels", [NUMERIC, ALPHABETIC])
def test_long_texts(labels: Labels):
    # In seconds only where the work grows with the length alone; else the run's time limit ends it.
    for piece in ("passage A ", "passage ", "the best ", ", ", ": ", "is ", "* ", "I think that, "):
        chosen_in_words(piece * 20_000, labels, 4)
        chosen_in_words(f"passage A is {piece * 20_000}", labels, 4)
