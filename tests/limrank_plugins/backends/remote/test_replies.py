"""What a chat model may write for a label."""

from __future__ import annotations

import math

import pytest

from limrank_plugins.backends.remote.replies import Label, Token, labels_in, spellings


def token(text: str, share: float) -> Token:
    return Token(text, None, math.log(share))


@pytest.mark.parametrize("labels", [(" yes", " no"), (" true", " false")])
def test_a_chat_model_may_say_true_for_yes_and_the_shares_are_added(labels: tuple[str, str]):
    tokens = [token("Yes", 0.4), token(" true", 0.2), token("False", 0.25), token(" no", 0.1)]
    read = labels_in(tokens, [Label(label) for label in labels], loosely=True)
    assert [math.exp(value) for value in read if value is not None] == pytest.approx([0.6, 0.35])


def test_a_completion_is_read_to_the_letter():
    tokens = [token(" true", 0.6), token(" no", 0.4)]
    assert labels_in(tokens, [Label(" yes"), Label(" no")], loosely=False) == [None, math.log(0.4)]


def test_a_word_that_is_a_label_stands_for_that_label_alone():
    assert spellings([Label("yes"), Label("no"), Label("True")]) == [{"yes"}, {"no", "false"}, {"true"}]
    assert spellings([Label(" A"), Label(" B")]) == [{"a"}, {"b"}]
