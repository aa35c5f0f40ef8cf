"""The same questions in every condition: contexts, then answers, then verdicts; each committed once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from limrank_evals.loaders.multiple_choice import MultipleChoice, hashed
from limrank_evals.questions.answer_judge import Judge, JudgeReply, JudgeRequest, Opinion
from limrank_evals.questions.batches import Progress, run_batches
from limrank_evals.questions.choice_reader import ChoiceReader, ChoiceReply, ChoiceRequest
from limrank_evals.questions.contexts import Context
from limrank_evals.questions.gating import Gate, digest
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.jobs import Job
from limrank_plugins.wording import number_of, verb_for

Texts = Callable[[Collection[str]], Mapping[str, Document]]
"""Gives the documents of these identifiers."""


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One answer to one question in one condition: what files hold, so nothing else of a gated set.

    Attributes:
        question: its id.
        condition: one of `limrank_evals.questions.conditions`.
        sample: its number, from 0.
        right: whether the chosen option is the right one.
        said: the letter that was chosen, as the options were shown; None where none was.
        choice: the same option's letter in the set's order.
        passages: the identifiers of what the reader was shown, best first.
        verdict: the judge's opinion; None without a judge.
        failure: why there is no answer, or no verdict; such an item is asked again by a later run.
        ended: how the writing ended; `"length"` says that the budget was too small.
        cut_tokens: tokens of the passages that did not fit and were not read.
        sha256: of the answer's text; None where it failed.
        text: the answer; None where it failed or is gated.
    """

    question: str
    condition: str
    sample: int
    right: bool
    said: str | None = None
    choice: str | None = None
    passages: tuple[str, ...] = ()
    verdict: Opinion | None = None
    failure: str | None = None
    ended: str = ""
    cut_tokens: int = 0
    sha256: str | None = None
    text: str | None = None

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> AnswerRecord:
        """From what `asdict` made of it."""
        return cls(**{**record, "passages": tuple(record["passages"])})


class _Item(NamedTuple):
    condition: str
    request: ChoiceRequest


def answer_all(
    questions: Sequence[MultipleChoice],
    conditions: Sequence[str],
    reader: ChoiceReader,
    job: Job,
    *,
    gate: Gate,
    contexts: Mapping[str, Context] | None = None,
    texts: Texts = lambda ids: {},
    judge: Judge | None = None,
    batch: int = 8,
    progress: Progress = lambda stage, done, total: None,
) -> list[AnswerRecord]:
    """Ask every question in every condition, `reader.samples` times; what is in the journal is not asked.

    Answer and verdict are committed together: of a gated set the answer itself is kept nowhere.

    Args:
        questions: with ids of their own.
        conditions: in which they are asked.
        reader: answers.
        job: where each answer is committed, failures excepted.
        gate: decides what is kept and said.
        contexts: the passages of each question; needed for all conditions but the closed book.
        texts: their texts.
        judge: gives a second opinion on every answer; default: none.
        batch: how many answers are asked for in lockstep and committed together.
        progress: told after every batch.

    Returns:
        The answers by condition, question and sample.

    Raises:
        InputError: a passage that was found is not in the corpus any more.
    """
    searched = contexts or {}
    shown = {q.id: searched.get(q.id, Context(q.id)) for q in questions}
    ids = {i for context in shown.values() for c in conditions for i in context.passages(c)}
    documents = texts(ids) if ids else {}
    missing = sorted(ids - documents.keys())
    if missing:
        raise InputError(
            f"the corpus no longer holds {number_of(len(missing), 'passage')} that "
            f"{verb_for(len(missing), 'were')} found, as {missing[0]!r}"
        )
    items = [
        _Item(condition, ChoiceRequest(q, sample, [documents[i] for i in shown[q.id].passages(condition)]))
        for condition in conditions
        for q in questions
        for sample in range(reader.samples)
    ]
    return run_batches(
        job,
        {_name(item): item for item in items},
        lambda part: _answers(part, reader, judge, gate),
        AnswerRecord.from_json,
        lambda answer: asdict(answer) if answer.failure is None else None,
        stage="asking",
        batch=batch,
        progress=progress,
    )


def _name(item: _Item) -> str:
    """Made of all that the answer depends on beside the settings: an edited question is another item."""
    question, sample, passages = item.request
    read = [(document.id, document.passage) for document in passages]
    content = digest(json.dumps([hashed([question.question, *question.choices]), question.answer, read]))
    return json.dumps([item.condition, question.id, sample, content])


def _answers(
    items: Sequence[_Item], reader: ChoiceReader, judge: Judge | None, gate: Gate
) -> list[AnswerRecord]:
    replies = gate.run("reading", lambda: reader.read_many([item.request for item in items]))
    verdicts: dict[int, JudgeReply] = {}
    if judge is not None:
        places = [i for i, reply in enumerate(replies) if reply.text is not None]
        requests = [
            JudgeRequest(items[i].request.question, replies[i].shown, replies[i].text or "") for i in places
        ]
        verdicts = dict(zip(places, gate.run("judging", lambda: judge.judge_many(requests)), strict=True))
    return [
        _record(item, reply, verdicts.get(i), gate)
        for i, (item, reply) in enumerate(zip(items, replies, strict=True))
    ]


def _record(item: _Item, reply: ChoiceReply, verdict: JudgeReply | None, gate: Gate) -> AnswerRecord:
    question, sample, passages = item.request
    failure = None if reply.failure is None else gate.reason(reply.failure)
    if verdict is not None and verdict.reason is not None:
        failure = f"the judge: {gate.reason(verdict.reason)}"
    return AnswerRecord(
        question.id,
        item.condition,
        sample,
        right=reply.choice == question.answer,
        said=reply.said,
        choice=reply.choice,
        passages=tuple(document.id or "" for document in passages),
        verdict=None if verdict is None else verdict.opinion,
        failure=failure,
        ended=reply.ended,
        cut_tokens=reply.cut_tokens,
        sha256=None if reply.text is None else digest(reply.text),
        text=gate.text(reply.text),
    )
