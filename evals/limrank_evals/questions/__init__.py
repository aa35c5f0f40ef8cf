"""Multiple-choice questions with and without retrieval: closed book, retrieve, retrieve + rerank."""

from __future__ import annotations

from limrank_evals.questions.accuracy import Difference, Score, differences, score_all
from limrank_evals.questions.answer_judge import Judge, read_verdict
from limrank_evals.questions.answering import AnswerRecord, answer_all
from limrank_evals.questions.choice_reader import ChoiceReader, ChoiceReply, ChoiceRequest
from limrank_evals.questions.conditions import CLOSED_BOOK, CONDITIONS, RERANK, RETRIEVE
from limrank_evals.questions.contexts import Context, find_contexts
from limrank_evals.questions.gating import Gate
from limrank_evals.questions.question_evaluation import QuestionsEvaluation, Setup, evaluate_answers

__all__ = [
    "CLOSED_BOOK",
    "CONDITIONS",
    "RERANK",
    "RETRIEVE",
    "ChoiceRequest",
    "ChoiceReader",
    "Context",
    "Difference",
    "Gate",
    "AnswerRecord",
    "Judge",
    "QuestionsEvaluation",
    "ChoiceReply",
    "Score",
    "Setup",
    "answer_all",
    "differences",
    "evaluate_answers",
    "find_contexts",
    "read_verdict",
    "score_all",
]
