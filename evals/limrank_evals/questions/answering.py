"""The same questions in every condition: contexts, then answers, then verdicts; each committed once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limrank_evals.loaders.multiple_choice import MultipleChoice, hashed
from limrank_evals.questions.answer_judge import Judge, JudgeRequest, Opinion
from limrank_evals.questions.choice_reader import ChoiceReader, ChoiceReply, ChoiceRequest
from limrank_evals.questions.contexts import Context, Progress
from limrank_evals.questions.gating import Gate, digest
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.jobs import Job

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


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    condition: str
    asking: ChoiceRequest


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
    found = contexts or {}
    shown = {q.id: found.get(q.id, Context(q.id)) for q in questions}
    wanted = {i for context in shown.values() for c in conditions for i in context.passages(c)}
    documents = texts(wanted) if wanted else {}
    missing = sorted(wanted - documents.keys())
    if missing:
        raise InputError(
            f"the corpus no longer holds {len(missing)} passages that were found, as {missing[0]!r}"
        )
    items = [
        _item(condition, ChoiceRequest(q, sample, [documents[i] for i in shown[q.id].passages(condition)]))
        for condition in conditions
        for q in questions
        for sample in range(reader.samples)
    ]
    given: dict[str, AnswerRecord] = {}
    for item in items:
        kept = job.find(item.name)
        if kept is not None:
            given[item.name] = AnswerRecord.from_json(kept)
    todo = [item for item in items if item.name not in given]
    for start in range(0, len(todo), batch):
        progress("asking", len(given), len(items))
        part = todo[start : start + batch]
        for item, answer in zip(part, _answers(part, reader, judge, gate), strict=True):
            given[item.name] = answer
            if answer.failure is None:
                job.commit(item.name, asdict(answer))
    progress("asking", len(items), len(items))
    return [given[item.name] for item in items]


def _item(condition: str, asking: ChoiceRequest) -> _Item:
    """Named after all that the answer depends on beside the settings: an edited question is another item."""
    question = asking.question
    read = [(document.id, document.passage) for document in asking.passages]
    content = digest(json.dumps([hashed([question.question, *question.choices]), question.answer, read]))
    return _Item(json.dumps([condition, question.id, asking.sample, content]), condition, asking)


def _answers(
    items: Sequence[_Item], reader: ChoiceReader, judge: Judge | None, gate: Gate
) -> list[AnswerRecord]:
    said = gate.run("reading", lambda: reader.read_many([item.asking for item in items]))
    opinions: dict[int, Opinion] = {}
    reasons: dict[int, str] = {}
    if judge is not None:
        heard = [i for i, one in enumerate(said) if one.text is not None]
        jobs = [JudgeRequest(items[i].asking.question, said[i].shown, said[i].text or "") for i in heard]
        for i, verdict in zip(heard, gate.run("judging", lambda: judge.judge_many(jobs)), strict=True):
            opinions[i] = verdict.opinion
            if verdict.reason is not None:
                reasons[i] = f"the judge: {gate.reason(verdict.reason)}"
    return [
        _given(item, one, opinions.get(i), reasons.get(i), gate)
        for i, (item, one) in enumerate(zip(items, said, strict=True))
    ]


def _given(
    item: _Item, said: ChoiceReply, opinion: Opinion | None, reason: str | None, gate: Gate
) -> AnswerRecord:
    question = item.asking.question
    return AnswerRecord(
        question.id,
        item.condition,
        item.asking.sample,
        right=said.choice == question.answer,
        said=said.said,
        choice=said.choice,
        passages=tuple(document.id or "" for document in item.asking.passages),
        verdict=opinion,
        failure=reason if said.failure is None else gate.reason(said.failure),
        ended=said.ended,
        cut_tokens=said.cut_tokens,
        sha256=None if said.text is None else digest(said.text),
        text=gate.text(said.text),
    )
