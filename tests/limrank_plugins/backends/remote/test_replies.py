"""What a chat model may write for a label."""

from __future__ import annotations

import math
from typing import Any

import pytest
from servers import chat, completion

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.replies import (
    Label,
    Token,
    labels_in,
    ordered,
    spellings,
    tokens_of,
    within,
)


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


# ---- what only looks like a reading --------------------------------------------------------------

LABELS = [Label(" true"), Label(" false")]


def reading(top: dict[str, Any], shape: Any, tolerance: float = 1e-3) -> list[float] | None:
    tokens = tokens_of((chat(top, "x") if shape is chat else completion(top))["choices"][0])
    return within(labels_in(tokens, LABELS, loosely=shape is chat), tokens, tolerance)


@pytest.mark.parametrize("shape", [completion, chat])
@pytest.mark.parametrize("least", [-9999.0, -1e4, -3.4e38, -math.inf])
def test_what_stands_for_not_among_the_top_is_no_log_probability(shape: Any, least: float):
    assert reading({" true": least, " false": least}, shape) is None
    assert reading({" true": least, " x": -0.1, " false": least}, shape) is None
    # As with a label that is not listed: what the others leave over may be its own.
    assert reading({" true": -0.1, " false": least}, shape) is None
    assert reading({" true": -0.1, " x": least}, shape) is None
    (true, false) = reading({" true": math.log(0.9999), " false": least}, shape) or [0, 0]
    assert (true, math.exp(false)) == (math.log(0.9999), pytest.approx(1e-4))
    # Where they leave nothing over, it is impossible.
    assert reading({" true": 0.0, " false": least}, shape) == [0.0, -math.inf]


@pytest.mark.parametrize("shape", [completion, chat])
def test_very_unlikely_labels_are_read_as_they_are(shape: Any):
    assert reading({" true": -800.0, " false": -801.0, "x": -0.01}, shape) == [-800.0, -801.0]


@pytest.mark.parametrize("shape", [completion, chat])
def test_probabilities_that_add_up_to_more_than_1_are_none(shape: Any):
    for top, total in (
        ({" true": 0.0, " false": 0.0}, "2.00"),
        ({" true": -0.1, "x": -0.1, "y": -3}, "1.86"),
    ):
        with pytest.raises(CallFailed, match=f"add up to {total}, which is more than 1") as caught:
            reading(top, shape)
        assert not caught.value.fatal
    rounded = {" true": -0.69, " false": -0.69}  # a half, to two digits
    assert reading(rounded, shape) == [-0.69, -0.69]


def test_a_token_named_twice_counts_once():
    twice = [Token("true", None, -0.1), Token("true", 5, -0.1), Token("", 7, -3.0), Token("", 8, -3.5)]
    assert [token.logprob for token in ordered(reversed(twice))] == [-0.1, -0.1, -3.0, -3.5]
    with pytest.raises(CallFailed):
        ordered([Token("", 7, -0.1), Token("", 8, -0.1)])
