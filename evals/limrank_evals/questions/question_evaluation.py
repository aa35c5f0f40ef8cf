"""A whole evaluation by questions: what reports are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from limrank_evals.comparison import Resampling
from limrank_evals.identity import Identity, Result
from limrank_evals.loaders.multiple_choice import MultipleChoice
from limrank_evals.questions.accuracy import Difference, Score, differences, score_all
from limrank_evals.questions.answering import AnswerRecord
from limrank_evals.questions.conditions import CLOSED_BOOK, CONDITIONS, RERANK
from limrank_evals.questions.contexts import Context
from limrank_evals.questions.gating import Gate
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of, verb_for

# From this share on, answers without a choice say more about the reader's set-up than about its knowledge.
_MANY = 0.1


@dataclass(frozen=True, slots=True)
class Setup(Identity):
    """What the numbers of the fullest condition are of, in words for tables.

    Attributes:
        reader: the model that answers; `prompts` says how it is asked.
    """

    reader: str = ""

    def identity(self, condition: str) -> Identity:
        """Of the numbers of one condition: what it does not have is left out."""
        known = {field.name: getattr(self, field.name) for field in fields(Identity)}
        known["prompts"] = f"{self.prompts}, read by {self.reader}"
        if condition == CLOSED_BOOK:
            known |= {"first_stage": "", "queries": ""}
        if condition != RERANK:
            known |= {"depth": None, "recipe": "", "model": "", "backend": ""}
        return Identity(**known)


@dataclass(frozen=True, slots=True)
class QuestionsEvaluation:
    """What came out.

    Attributes:
        setup: what it is of.
        settings: the same in full, for machines.
        questions: those that were asked.
        answers: by condition, question and sample.
        scores: of each condition, the simplest first.
        differences: of every two conditions.
        results: a `Result` for each condition.
        warnings: what a reader must know beside the numbers, a sentence each.
        gate: decides which texts are shown.
        failures: answers, verdicts and contexts that a model failed at; the same command asks again.
    """

    setup: Setup
    settings: Mapping[str, Any]
    questions: tuple[MultipleChoice, ...]
    answers: tuple[AnswerRecord, ...]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    results: tuple[Result, ...]
    warnings: tuple[str, ...]
    gate: Gate
    failures: int = 0


def evaluate_answers(
    questions: Sequence[MultipleChoice],
    answers: Sequence[AnswerRecord],
    *,
    setup: Setup,
    settings: Mapping[str, Any],
    gate: Gate,
    contexts: Mapping[str, Context] | None = None,
    seed: int = 0,
) -> QuestionsEvaluation:
    """Score the answers, and say what is to be known about them.

    Args:
        questions: those that were asked.
        answers: as `answer_all` gives them.
        setup: what they are of, in words.
        settings: what they are of, in full.
        gate: decides which texts are shown.
        contexts: what was found for each question.
        seed: of the bootstrap.

    Raises:
        InputError: the answers are not to these questions, as many to each.
    """
    resampling = Resampling(seed=seed)
    scores = score_all(answers, {question.id: question.domain for question in questions}, resampling)
    return QuestionsEvaluation(
        setup,
        settings,
        tuple(questions),
        tuple(answers),
        tuple(scores),
        tuple(differences(scores, resampling)),
        tuple(_result(score, setup) for score in scores),
        (
            *_about_contexts(scores, contexts or {}),
            *(warning for score in scores for warning in _about(score)),
            *_gated(gate),
        ),
        gate,
        sum(answer.failure is not None for answer in answers)
        + sum(context.failed for context in (contexts or {}).values()),
    )


def _result(score: Score, setup: Setup) -> Result:
    scores = {"accuracy": score.mean}
    intervals = {"accuracy": score.mean_interval}
    if score.samples > 1:
        scores["majority accuracy"] = score.majority.accuracy
        intervals["majority accuracy"] = score.majority.interval
    counts = {
        "questions": len(score.tallies),
        "samples": score.samples,
        "unanswered": score.unanswered,
        "failed": score.failed,
        "cut_short": score.cut_short,
    }
    if score.judge is not None:
        counts |= {"judge_unreadable": score.judge.unreadable, "judge_failed": score.judge.failed}
        if score.judge.accuracy is not None:
            scores["accuracy by the judge"] = score.judge.accuracy
    known = {name: (ends.low, ends.high) for name, ends in intervals.items() if ends is not None}
    named = CONDITIONS[score.condition]
    system = f"{named} ({setup.recipe})" if score.condition == RERANK else named
    return Result(system, setup.identity(score.condition), scores, known, counts)


def _about(score: Score) -> list[str]:
    name, total = CONDITIONS[score.condition], len(score.tallies) * score.samples
    warnings = []
    if score.failed:
        reasons = (answer.failure for tally in score.tallies for answer in tally.samples if answer.failure)
        warnings.append(
            f"{name}: {score.failed} of {number_of(total, 'answer')} never came and "
            f"{verb_for(score.failed, 'count')} as wrong; the same command "
            f"asks for them again. The first: {next(reasons, 'no reason is known')}"
        )
    if score.unanswered > _MANY * total:
        warnings.append(
            f"{name}: {score.unanswered} of {number_of(total, 'answer')} chose no option; a budget that "
            "is too small "
            f"({score.cut_short} were cut short) or a base model asked as a chat looks like that"
        )
    elif score.cut_short:
        warnings.append(
            f"{name}: {score.cut_short:,} of {number_of(total, 'answer')} "
            f"{verb_for(score.cut_short, 'were')} ended by their budget (--max-tokens)"
        )
    cut = sum(answer.cut_tokens > 0 for tally in score.tallies for answer in tally.samples)
    if cut:
        warnings.append(f"{name}: in {cut} of {total} prompts the passages did not fit and were cut")
    if score.judge is not None and (score.judge.unreadable or score.judge.failed):
        warnings.append(
            f"{name}: the judge wrote neither yes nor no about "
            f"{number_of(score.judge.unreadable, 'answer')} and failed "
            f"on {score.judge.failed}; its shares are over the other {score.judge.verdicts}"
        )
    return warnings


def _about_contexts(scores: Sequence[Score], contexts: Mapping[str, Context]) -> list[str]:
    total, warnings = len(contexts), []
    empty = sum(not context.candidates for context in contexts.values())
    if empty:
        warnings.append(
            f"{empty:,} of {number_of(total, 'question')} {verb_for(empty, 'were')} asked without "
            "passages, since nothing was found"
        )
    unwritten = sum(context.unwritten for context in contexts.values())
    if unwritten:
        warnings.append(
            f"{unwritten} of {number_of(total, 'question')} could not be rewritten and "
            f"{verb_for(unwritten, 'were')} searched with unchanged"
        )
    if any(score.condition == RERANK for score in scores):
        unread = Unread(
            sum(context.cut_query for context in contexts.values()),
            sum(context.cut_documents for context in contexts.values()),
            total,
            sum(len(context.reranked or ()) for context in contexts.values()),
        )
        warnings += [f"reranking: {sentence}" for sentence in unread.sentences()]
        unjudged = sum(context.unjudged for context in contexts.values())
        if unjudged:
            warnings.append(
                f"{number_of(unjudged, 'passage')} could not be judged; they keep the first stage's place, "
                f"and the same command asks for them again"
            )
        outages = sum(context.outage for context in contexts.values())
        if outages:
            warnings.append(
                f"for {outages} of {number_of(total, 'question')} nothing could be reranked; the same "
                "command tries again"
            )
    return warnings


def _gated(gate: Gate) -> list[str]:
    if not gate.closed:
        return []
    return [
        "the set is gated: texts are left out, and models' answers were not stored (--show-gated shows them)"
    ]
