"""`ChoiceReader`: a question, its options and passages become the letter of an option, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from limrank_evals.answers import choice_letters, extract_choice
from limrank_evals.answers.shuffling import OptionOrder, shuffled
from limrank_evals.loaders.multiple_choice import MultipleChoice
from limrank_evals.questions.reader_templates import listed, reader_template, with_options
from limrank_pipelines.citations import neutral
from limrank_plugins.backends.protocols import Backend, Generated, Program
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Usage
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.lockstep import forgetting, together
from limrank_plugins.segments import Prompt
from limrank_plugins.store import Store
from limrank_plugins.writer import Writer, completion


class ChoiceRequest(NamedTuple):
    """A question, which sample of its answer is wanted (from 0), and the passages shown with it."""

    question: MultipleChoice
    sample: int = 0
    passages: Sequence[Document] = ()


@dataclass(frozen=True, slots=True, repr=False)
class ChoiceReply:
    """What a reader answered.

    Attributes:
        shown: the options in the order the model saw.
        text: what it wrote; None where it failed.
        said: the letter it chose, as shown; None where it chose none.
        choice: the same option's letter in the question's own order.
        failure: why there is no text, or None.
        ended: how the writing ended: `"length"` is a budget that was too small.
        cut_tokens: tokens of the passages that did not fit and were not read.
        usage: what it cost.
    """

    shown: OptionOrder
    text: str | None = None
    said: str | None = None
    choice: str | None = None
    failure: str | None = None
    ended: str = ""
    cut_tokens: int = 0
    usage: Usage = Usage()


class ChoiceReader(Writer):
    """Answers multiple-choice questions, with passages or without. Safe to use from many threads.

    Every question's options stand in an order of their own for each sample
    (`limrank_evals.answers.shuffling`), so several samples differ at temperature 0, too.

    Args:
        model: folder, hub name or GGUF file of an instruction-tuned model; for a served one, its name there.
        backend: a backend that writes, or the name of one; default `"transformers"`.
        template: one of `READER_TEMPLATES` or the path of a `.toml` file. A base model wants
            `"completion"`: through a chat template it was never trained on, it is measured wrongly.
        samples: how many answers to each question are meant to be drawn; default 1. It sets the default
            of `temperature`.
        max_tokens: the budget of an answer, reasoning included; default 2,048.
        temperature: default 0 for one sample, 0.7 for several.
        top_p: nucleus of the sampling; default 1.
        seed: of the sampling and of the options' orders; default 0.
        store: answers found in it are not written again, new ones are put into it. Default: none.
        options: passed to the backend's constructor where the backend is given by name.

    Raises:
        InputError: a value that cannot be used.
        CapabilityError: the backend cannot write.
        MissingExtra: an optional dependency is not installed.

    Example:
        >>> from limrank_plugins import ScriptedBackend
        >>> reader = ChoiceReader(backend=ScriptedBackend(generate=lambda prompt: "The answer is (B)."))
        >>> question = MultipleChoice("q", "What curdles milk?", ("Yeast", "Acid"), "B")
        >>> reply = reader.read_many([ChoiceRequest(question)])[0]
        >>> reply.said, reply.choice == reply.shown.original("B")
        ('B', True)
    """

    def __init__(
        self,
        model: str | None = None,
        backend: str | Backend = "transformers",
        *,
        template: str = "choices",
        samples: int = 1,
        max_tokens: int = 2048,
        temperature: float | None = None,
        top_p: float = 1.0,
        seed: int = 0,
        store: Store | None = None,
        **options: Any,
    ) -> None:
        samples = whole_number("samples", samples, least=1)
        super().__init__(
            reader_template(template),
            model,
            backend,
            purpose="a reader",
            max_tokens=max_tokens,
            temperature=(0.0 if samples == 1 else 0.7) if temperature is None else temperature,
            top_p=top_p,
            seed=seed,
            store=store,
            options=options,
        )
        # Not the writer's own: several at temperature 0 differ all the same, by the order of their options.
        self.samples = samples

    def read_many(self, requests: Sequence[ChoiceRequest]) -> list[ChoiceReply]:
        """Answer each; all of them are put to the backend in one batch."""
        orders = [
            shuffled(r.question.choices, r.question.id, sample=r.sample, seed=self.seed) for r in requests
        ]
        programs = [self._answer(*pair) for pair in zip(requests, orders, strict=True)]
        return self.run(together([forgetting(program, _is_unanswered) for program in programs]))

    def _answer(self, request: ChoiceRequest, order: OptionOrder) -> Program[ChoiceReply]:
        (reply,) = yield [self.request(self._prompt(request, order), request.sample)]
        reply = completion(reply)
        letter = extract_choice(reply.text, order.choices) if isinstance(reply, Generated) else None
        # Whatever stands before it: an option that was chosen is an answer.
        known = self.usable(reply, may_abstain=True) if letter is None else reply
        ended = reply.finish if isinstance(reply, Generated) else ""
        if not isinstance(known, Generated):
            return ChoiceReply(order, failure=known.reason, ended=ended, usage=known.usage)
        return ChoiceReply(
            order,
            known.text,
            letter,
            order.original(letter),
            ended=ended,
            cut_tokens=known.cut_tokens,
            usage=known.usage,
        )

    def _prompt(self, request: ChoiceRequest, order: OptionOrder) -> Prompt:
        images = [document.images for document in request.passages]
        return self.template.render(
            with_options(request.question.question, order.choices),
            [neutral(document.passage) for document in request.passages],
            images=images if any(images) else (),
            labels=NUMERIC.shown(len(request.passages)),
            letters=listed(choice_letters(len(order.choices))),
        )


def _is_unanswered(reply: ChoiceReply) -> bool:
    return reply.text is None
