"""`Judge`: a model is asked whether an answer is right, yes or no. A second opinion on the extraction.

The published evaluation counts everything but an exact "yes" as wrong, failed calls included. Here what
the judge wrote is read, and what cannot be read, or never came, is counted apart and is no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from limrank_evals.answers.shuffling import OptionOrder
from limrank_evals.loaders.multiple_choice import MultipleChoice
from limrank_evals.questions.reader_templates import packaged, with_options
from limrank_plugins.backends.protocols import Backend, Failed, Generated
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.labels import without_tags
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.segments import Prompt
from limrank_plugins.store import Store
from limrank_plugins.writer import Writer

Opinion = Literal["yes", "no", "unreadable", "failed"]
"""What a judge said of an answer; the last two are no verdicts."""

_ALONE = re.compile(
    r"(?:(?:final )?(?:answer|verdict|judge?ment)\W+(?:is\W+)?)?\W*(yes|no)\W*", re.IGNORECASE
)
_WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


class JudgeReply(NamedTuple):
    """A judge's opinion; `reason` says why it failed, None otherwise."""

    opinion: Opinion
    reason: str | None = None


class JudgeRequest(NamedTuple):
    """An answer to be judged: the question, its options as they were shown, and what was written."""

    question: MultipleChoice
    shown: OptionOrder
    text: str


def read_verdict(text: str) -> Literal["yes", "no", "unreadable"]:
    """What a judge's text says behind its thought.

    A first or last line that is nothing but yes or no; else a text that begins with one and never says the
    other. "Yes and no", or a thought that never ended, is unreadable.
    """
    answer = split_reasoning(text)[1].strip()
    lines = [line for line in answer.split("\n") if line.strip()]
    alone = {
        match[1].lower() for line in (*lines[:1], *lines[-1:]) if (match := _ALONE.fullmatch(line.strip()))
    }
    words = alone
    if not alone and re.match(r"\W*(?:yes|no)\b", answer, re.IGNORECASE):
        words = {word.lower() for word in _WORD.findall(answer)}
    if len(words) != 1:
        return "unreadable"
    return "yes" if "yes" in words else "no"


class Judge(Writer):
    """Asks a model whether answers are right. Safe to use from many threads.

    It is shown the question, the options as the reader saw them, the letter of the right one, and the
    answer without its thought. An answer that is empty but for a thought is wrong without being asked about.

    Args:
        model: folder, hub name or GGUF file of an instruction-tuned model; for a served one, its name there.
        backend: a backend that writes, or the name of one; default `"openai"`.
        template: the path of a `.toml` file with another wording; it is given `query` (the question with its
            options), `letter` (of the right one) and `document` (the answer).
        max_tokens: the budget of a verdict, a thought before it included; default 1,024.
        store: verdicts found in it are not asked for again, new ones are put into it. Default: none.
        options: passed to the backend's constructor where the backend is given by name.

    Raises:
        InputError: a value that cannot be used.
        CapabilityError: the backend cannot write.
        MissingExtra: an optional dependency is not installed.
    """

    def __init__(
        self,
        model: str | None = None,
        backend: str | Backend = "openai",
        *,
        template: str | None = None,
        max_tokens: int = 1024,
        store: Store | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            packaged("judge") if template is None else load_template(template),
            model,
            backend,
            purpose="a judge",
            max_tokens=max_tokens,
            store=store,
            options=options,
        )

    def judge_many(self, answers: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Judge each; all of them are put to the backend in one batch."""
        spoken = [split_reasoning(answer.text)[1].strip() for answer in answers]
        pairs = [(answer, words) for answer, words in zip(answers, spoken, strict=True) if words]
        # "I cannot tell" is no verdict, but it is what the judge has to say.
        replies = iter(self.write_many([self._prompt(*pair) for pair in pairs], may_abstain=True))
        return [_judge_reply(next(replies)) if words else JudgeReply("no") for words in spoken]

    def _prompt(self, answer: JudgeRequest, words: str) -> Prompt:
        question = with_options(answer.question.question, answer.shown.choices)
        letter = answer.shown.shown(answer.question.answer)
        return self.template.render(question, [without_tags(words)], letter=letter)


def _judge_reply(reply: Generated | Failed) -> JudgeReply:
    if isinstance(reply, Failed):
        return JudgeReply("failed", reply.reason)
    return JudgeReply(read_verdict(reply.text))
