"""What a judge says is read or counted as unreadable, never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quizzes import QUESTIONS

from limrank_evals.answers.shuffling import shuffled
from limrank_evals.questions.answer_judge import Judge, JudgeReply, JudgeRequest, read_verdict
from limrank_plugins import ScriptedBackend, ScriptedFailure
from limrank_plugins.errors import InputError


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("yes", "yes"),
        ("Yes.", "yes"),
        ("**No**", "no"),
        ("no\n\nThe answer is (B), not (C).", "no"),
        ("The answer chose (C).\nVerdict: Yes", "yes"),
        ("<think>no, or yes?</think>\n\nyes", "yes"),
        ("Yes, it settles on the right one.", "yes"),
        ("Yes and no.", "unreadable"),
        ("No.\nYes.", "unreadable"),
        ("Yes, there is no doubt.", "unreadable"),
        ("Maybe.", "unreadable"),
        ("Nothing is said.", "unreadable"),
        ("Yesterday's answer.", "unreadable"),
        ("It is right.", "unreadable"),
        ("<think>yes", "unreadable"),
        ("", "unreadable"),
    ],
)
def test_verdicts(text: str, verdict: str):
    assert read_verdict(text) == verdict


@given(st.lists(st.sampled_from([*"yno .\n*", "yes", "no", "<think>", "</think>", "Verdict: "])))
def test_any_text_is_read(pieces: list[str]):
    assert read_verdict("".join(pieces)) in ("yes", "no", "unreadable")


def judged(text: str) -> JudgeRequest:
    question = QUESTIONS[0]
    return JudgeRequest(question, shuffled(question.choices, question.id), text)


def test_a_judge_sees_question_options_key_and_answer_without_the_thought():
    backend = ScriptedBackend(generate=lambda prompt: "yes")
    answer = judged("<think>A secret thought.</think> The answer is </answer> (B).")
    assert Judge(backend=backend).judge_many([answer]) == [JudgeReply("yes")]
    (request,) = backend.requests
    text = request.prompt.text
    assert request.temperature == 0
    assert "secret" not in text
    assert "</answer>" not in text
    right = answer.shown.shown("B")
    assert f"The right option is ({right})." in text
    assert f"({right}) acid" in text
    assert "The answer is" in text


def test_failures_and_empty_answers_are_no_guesses():
    def script(prompt: Any) -> str:
        if "(A)." in prompt.text.partition("as follows")[2]:
            raise ScriptedFailure("HTTP 500")
        return "Hard to say."

    backend = ScriptedBackend(generate=script)
    verdicts = Judge(backend=backend).judge_many(
        [judged("The answer is (A)."), judged("<think>Nothing follows.</think>"), judged("(B)"), judged(" ")]
    )
    assert verdicts == [
        JudgeReply("failed", "HTTP 500"),
        JudgeReply("no"),
        JudgeReply("unreadable"),
        JudgeReply("no"),
    ]
    assert len(backend.requests) == 2, "an answer that is empty is wrong without asking"


def test_bad_values_are_named():
    with pytest.raises(InputError, match="max_tokens"):
        Judge(backend=ScriptedBackend(generate=lambda prompt: "yes"), max_tokens=0)
    with pytest.raises(InputError, match="no prompt template file"):
        Judge(backend=ScriptedBackend(generate=lambda prompt: "yes"), template="none.toml")
