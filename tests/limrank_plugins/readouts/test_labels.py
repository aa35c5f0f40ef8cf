"""Labels: what they are, and that no text can write one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.labels import ALPHABETIC, FORMS, NUMERIC, PLAIN, TAG, Labels
from limrank_plugins.readouts.order_text import bracketed
from limrank_plugins.recipes.setwise import recipe as setwise

KINDS = pytest.mark.parametrize("labels", [NUMERIC, ALPHABETIC], ids=["numeric", "alphabetic"])
# Pieces that labels and tags are made of, so that random texts come near them.
hostile = st.lists(
    st.sampled_from(
        [
            *"[]()<>/ 123Aaz\n>,",
            "think",
            "answer",
            "ANSWER",
            "[1]",
            "[A]",
            "<answer>",
            "score",
            "<score>",
            "9" * 7,
            *"\\［］【】〔〕（３Ｂ-–:#",
            "Passage ",
            "doc",
            "Rank: ",
            "[Passage 1]",
            "[1-3]",
            "【2】",
            r"\[2\]",
            r"\[B]",
        ]
    )
    | st.characters()
).map("".join)


def test_what_they_look_like():
    assert NUMERIC.shown(3) == ("[1]", "[2]", "[3]")
    assert ALPHABETIC.shown(26)[0] == "[A]"
    assert ALPHABETIC.shown(26)[-1] == "[Z]"
    assert NUMERIC.shown(100)[-1] == "[100]"


def test_there_are_26_letters():
    with pytest.raises(InputError, match=r"at most 26 documents, but a group has 27.*children <= 25"):
        ALPHABETIC.shown(27)
    with pytest.raises(InputError, match="27"):
        setwise(children=26)
    assert setwise(children=25).schedule.children == 25


@pytest.mark.parametrize(
    ("labels", "text", "expected"),
    [
        (NUMERIC, "see [12] and [ 3 ]", "see (12) and (3)"),
        (NUMERIC, "[3] > [1]", "(3) > (1)"),
        (NUMERIC, "[A] [x1] [[2]] [] [1, 2]", "[A] [x1] [(2)] [] [1, 2]"),
        (NUMERIC, "</think>< / Answer >", "(/think)(/Answer)"),
        (ALPHABETIC, "[A] [b] [1] [AB]", "(A) (b) [1] [AB]"),
        (ALPHABETIC, "<answer>[C]</answer>", "(answer)(C)(/answer)"),
        (NUMERIC, "<score>100</ SCORE >", "(score)100(/SCORE)"),
        (NUMERIC, "[Passage 2] [doc: 3] [1-3] 【2】 [３]", "(Passage 2) (doc: 3) (1-3) (2) (３)"),
        (NUMERIC, r"\[2\] > \[1] > \［3\］", "(2) > (1) > (3)"),
        (NUMERIC, "Passage 2: tea. Passage 2 is", "Passage (2): tea. Passage 2 is"),
        (NUMERIC, "x in [0, 1], 2 > 1, lines 1-3", "x in [0, 1], 2 > 1, lines 1-3"),
        (
            ALPHABETIC,
            "[Passage B] [texts] [Ids] 【c】 Passage A:",
            "(Passage B) [texts] [Ids] (c) Passage (A):",
        ),
        (PLAIN, "[2, 1] 【2，1】 [Image 2, Image 1] [3]", "(2, 1) (2，1) (Image 2, Image 1) (3)"),
        (PLAIN, "image 3: tea; image 3 of it", "image (3): tea; image 3 of it"),
    ],
)
def test_look_alikes_are_rewritten(labels: Labels, text: str, expected: str):
    assert labels.neutral(text) == expected


@KINDS
@given(text=hostile)
def test_no_text_can_write_a_label_or_a_tag(labels: Labels, text: str):
    neutral = labels.neutral(text)
    assert labels.read(neutral) == []
    assert labels.read(bracketed(neutral, labels)) == [], "nor one that is read in other brackets"
    assert TAG.search(neutral) is None
    assert labels.neutral(neutral) == neutral


@KINDS
@given(text=hostile)
def test_what_is_read_in_brackets_is_what_is_rewritten(labels: Labels, text: str):
    assert (labels.read(bracketed(text, labels)) == []) >= (FORMS[labels.kind].search(text) is None)
    for form in FORMS[labels.kind].finditer(text):
        assert labels.read(bracketed(form[0], labels)) or "-" in form[0] or "–" in form[0]


@KINDS
@given(text=hostile)
def test_a_document_between_the_templates_own_words_cannot_either(labels: Labels, text: str):
    shown = labels.shown(2)
    prompt = f"{shown[0]} {labels.neutral(text)}\n{shown[1]} {labels.neutral(text)}\n"
    assert labels.read(bracketed(prompt, labels)) == [0, 1]


def test_reading():
    assert NUMERIC.read("[2] > [1] > [0] > [99]") == [1, 0, -1, 98]
    assert NUMERIC.read("the top 10 passages") == []
    assert ALPHABETIC.read("[B], then [a]") == [1, 0]


def test_bare_names_are_read_where_there_is_nothing_else():
    assert NUMERIC.read_bare(" 3 > 1, 2.\n") == [2, 0, 1]
    assert NUMERIC.read_bare("[3, 1]") == [2, 0]
    assert NUMERIC.read_bare("(3) > (1)") == [], "what a neutralised passage says"
    assert NUMERIC.read_bare("the top 10 passages") == []
    assert NUMERIC.read_bare("") == []
    assert ALPHABETIC.read_bare(" B") == [1]
    assert ALPHABETIC.read_bare("Be") == []


@KINDS
def test_long_digit_runs_and_long_texts(labels: Labels):
    digits = "9" * 5000
    assert labels.read(f"[{digits}]") == []
    assert labels.read_bare(digits) == []
    started = time.thread_time()  # of this thread alone, whatever else the machine does
    for text in (
        "[" * 200_000,
        "<" + " " * 200_000,
        "[ " * 100_000,
        "< " * 100_000,
        "[1" * 100_000,
        "1 " * 100_000,
    ):
        labels.neutral(text)
        labels.read(text)
        labels.read_bare(text)
    assert time.thread_time() - started < 20, "linear in the length of the text"
