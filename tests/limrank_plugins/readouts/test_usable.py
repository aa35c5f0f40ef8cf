"""The line between a completion with nothing usable, an abstention and an answer."""

from __future__ import annotations

import pytest

from limrank_plugins.readouts.usable import no_reasoning, nothing_usable

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


UNSEEN = [" \n\u200b", "\u2060\ufeff", "\u00ad\u034f\ufe0f", "\u2800 \u3164", "\x00\x1b"]


@pytest.mark.parametrize(
    "text", ["", " \n", "<think>a</think>", "<think>a", "</think>", "<answer> </answer>", *UNSEEN]
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
        "\u200b42",
        "…",
        "\u0e01\u0e34",
        "\U0001fae9",
        "\ue000",
    ],
)
def test_what_was_written_is_something(text: str):
    assert nothing_usable(text, "length") is None


@pytest.mark.parametrize("text", ["", " \n", "<think>", "<think> </think>", *UNSEEN])
def test_only_a_model_that_closes_its_reasoning_may_leave_it_empty(text: str):
    assert no_reasoning("", text, "stop", budget=8) is None
    assert no_reasoning("Hm.", text, "end", budget=8) is None, "it came apart"
    nothing = no_reasoning("", text, "end", budget=8)
    assert nothing is not None
    assert (nothing.kind, nothing.reason[:28]) == ("empty", "the model wrote no reasoning")
    nothing = no_reasoning("", text, "length", budget=8)
    assert nothing is not None
    assert (nothing.kind, "budget of 8 tokens" in nothing.reason) == ("cut", True)


@pytest.mark.parametrize("finish", ["stop", "end", "length"])
@pytest.mark.parametrize(
    ("apart", "text"),
    [
        ("", "I'm sorry, but I can't help with that."),
        ("", "<think>I cannot assist with this request.</think>"),
        ("I cannot assist with this request.", ""),
        ("They ask me for a verdict.", "I'm sorry, but I can't help with that."),
        ("", "<think>They ask me for a verdict.</think> I can't help with that."),
        ("", "I'm unable to assist with deciding whether the passage is relevant."),
    ],
)
def test_a_refusal_is_no_reasoning(apart: str, text: str, finish: str):
    nothing = no_reasoning(apart, text, finish, budget=8)
    assert nothing is not None
    assert nothing.kind == "refused"
    assert nothing.reason.startswith("the model refused: ")
    assert nothing.reason.count("think") == 0


@pytest.mark.parametrize(
    "text",
    [
        "Acid curdles milk.",
        "I can't see how it answers the query.",
        "I cannot tell whether it is meant.",
        "I'm sorry, but the passage does not help.",
        "I can't help but notice that this passage only mentions milk.",
        "As an AI, I would say that the document above is about cheese.",
        "<think>I cannot be rude.</think> The passage helps.",
    ],
)
def test_what_says_something_of_the_passage_is_reasoning(text: str):
    assert no_reasoning("", text, "end", budget=8) is None
