"""The line between a completion with nothing usable, an abstention and an answer."""

from __future__ import annotations

import pytest

from limrank_plugins.readouts.usable import nothing_usable

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m really sorry, no.",
    "I am sorry.",
    "Sorry, no.",
    "I apologize, but no.",
    "As an AI, I have no opinion.",
    "I cannot assist with this request.",
    "I can not do that.",
    "I won't rank these.",
    "I'm unable to help.",
    "I am not able to comply.",
    "Unfortunately, I can't do this.",
    "**I cannot help.**",
    "<think>I can help.</think> I cannot help with that.",
    "I cannot answer this question.",
]
UNDECIDED = [
    "I don't know.",
    "I'm sorry, but I don't know.",
    "I cannot tell.",
    "I cannot determine which passage is better.",
    "I can't say whether (B) is right.",
    "I am unable to decide between [1] and [2].",
    "Sorry, there is not enough information.",
    "I cannot answer this question from the passages.",
    "I'm not sure.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_holds_nothing(text: str):
    for may_abstain in (False, True):
        nothing = nothing_usable(text, may_abstain=may_abstain)
        assert nothing is not None
        assert nothing.kind == "refused"
        assert nothing.reason.startswith("the model refused: ")


@pytest.mark.parametrize("text", UNDECIDED)
def test_who_may_abstain_may_say_that_it_cannot_be_told(text: str):
    assert nothing_usable(text, may_abstain=True) is None


@pytest.mark.parametrize(
    "text", ["", " \n", "<think>a</think>", "<think>a", "</think>", "<answer> </answer>"]
)
def test_nothing_behind_the_reasoning_is_nothing(text: str):
    assert nothing_usable(text) == ("empty", "the model wrote no answer")
    reason = "the model spent its budget of 8 tokens before it wrote an answer"
    assert nothing_usable(text, "length", budget=8) == ("cut", reason)


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "Sorrow is not enough.",
        "The clerk said: I cannot help with that.",
        "Ice can't sink.",
        "half a sent",
    ],
)
def test_what_was_written_is_something(text: str):
    assert nothing_usable(text, "length") is None
