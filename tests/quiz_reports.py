"""An evaluation of the small quiz in three conditions, with a hostile text in every question and answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quizzes import QUESTIONS

from limrank_evals.questions import AnswerRecord, Gate, Setup, evaluate_answers
from limrank_evals.questions.gating import digest
from limrank_evals.questions.question_evaluation import QuestionsEvaluation

SETUP = Setup(
    "GPQA-diamond RAG",
    "diamond",
    reader="some-reader",
    prompts="choices, 1 sample at temperature 0, 10 passages",
    first_stage="bm25s",
    queries="question",
    depth=100,
    recipe="limrank",
    model="songtingyu/limrank",
    backend="openai",
)
HOSTILE = "</pre><script>alert(1)</script> & {{ 7 * 7 }} \x1b[31m"
LETTERS = {"closed-book": "A-A", "retrieve": "BAA", "rerank": "BAC"}


def made(*, closed: bool = False, **more: Any) -> QuestionsEvaluation:
    """What came out; `more` are arguments of `evaluated`, and `answers` instead of its own."""
    gate = Gate(closed)
    questions = tuple(
        replace(question, question=f"{question.question} {HOSTILE}", gated=closed) for question in QUESTIONS
    )
    answers = [
        AnswerRecord(
            question.id,
            condition,
            0,
            right=letter == question.answer,
            said=letter if letter != "-" else None,
            choice=letter if letter != "-" else None,
            sha256=digest("x"),
            text=gate.text(f"It is {letter}. {HOSTILE}"),
            passages=() if condition == "closed-book" else ("acid",),
            verdict=None,
        )
        for condition, letters in LETTERS.items()
        for question, letter in zip(questions, letters, strict=True)
    ]
    options: dict[str, Any] = {"setup": SETUP, "settings": {"depth": 100}, "gate": gate} | more
    return evaluate_answers(questions, options.pop("answers", answers), **options)
