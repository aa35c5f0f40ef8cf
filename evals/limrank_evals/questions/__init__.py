"""Multiple-choice questions with and without retrieval: closed book, retrieve, retrieve + rerank."""

from __future__ import annotations

from limrank_evals.questions.accuracy import Difference, Score, differences, score_all
from limrank_evals.questions.asking import Given, ask_all
from limrank_evals.questions.conditions import CLOSED_BOOK, CONDITIONS, RERANK, RETRIEVE
from limrank_evals.questions.contexts import Context, find_contexts
from limrank_evals.questions.evaluated import QuestionsEvaluated, Setup, evaluated
from limrank_evals.questions.gating import Gate
from limrank_evals.questions.journal import Journal
from limrank_evals.questions.judging import Judge, read_verdict
from limrank_evals.questions.reading import Asking, ChoiceReader, Said

__all__ = [
    "CLOSED_BOOK",
    "CONDITIONS",
    "RERANK",
    "RETRIEVE",
    "Asking",
    "ChoiceReader",
    "Context",
    "Difference",
    "Gate",
    "Given",
    "Journal",
    "Judge",
    "QuestionsEvaluated",
    "Said",
    "Score",
    "Setup",
    "ask_all",
    "differences",
    "evaluated",
    "find_contexts",
    "read_verdict",
    "score_all",
]
