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
from limrank_pipelines.writing import drawn_at, nucleus, whole, writing_backend
from limrank_plugins import driver
from limrank_plugins.backends.protocols import Backend, Closes, Failed, Generate, Generated, Reply
from limrank_plugins.data import Document, Usage
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.store import Store


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


class ChoiceReader:
    """Answers multiple-choice questions, with passages or without. Safe to use from many threads.

    Every question's options stand in an order of their own for each sample
    (`limrank_evals.answers.shuffling`), so several samples differ at temperature 0, too.

    Args:
        model: folder or hub name of an instruction-tuned model; for a served one, its name there.
        backend: a backend that writes, or the name of one; default `"transformers"`.
        template: one of `READER_TEMPLATES` or the path of a `.toml` file. A base model wants
            `"completion"`: through a chat template it was never trained on, it is measured wrongly.
        samples: how many answers to each question are meant to be drawn; default 1. It sets the default
            of `temperature`.
        max_tokens: the budget of an answer, a thought before it included; default 2,048.
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
        >>> said = reader.read_many([ChoiceRequest(question)])[0]
        >>> said.said, said.choice == said.shown.original("B")
        ('B', True)
    """

    def __init__(
        self,
        model: str | None = None,
        backend: str | Backend = "transformers",
        *,
        template: str = "choices",
        samples: int | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float = 1.0,
        seed: int = 0,
        store: Store | None = None,
        **options: Any,
    ) -> None:
        self.template = reader_template(template)
        self.samples = whole("samples", samples, 1, least=1)
        self.max_tokens = whole("max_tokens", max_tokens, 2048, least=1)
        self.temperature = drawn_at(temperature, self.samples if temperature is None else 1)
        self.top_p = nucleus(top_p)
        self.seed = whole("seed", seed, 0, least=None)
        self.store = store
        self.model = model or ""
        self._owns_backend = isinstance(backend, str)
        self.backend = writing_backend("a reader", backend, model, options)

    def read_many(self, jobs: Sequence[ChoiceRequest]) -> list[ChoiceReply]:
        """Answer each; all of them are put to the backend in one batch."""
        shown = [shuffled(j.question.choices, j.question.id, sample=j.sample, seed=self.seed) for j in jobs]
        requests = [self._request(job, options) for job, options in zip(jobs, shown, strict=True)]

        def program() -> driver.Addressed[list[Reply]]:
            return (yield [driver.To(self.backend, request) for request in requests])

        replies = driver.run(program(), self.store) if requests else []
        return [_said(reply, options) for reply, options in zip(replies, shown, strict=True)]

    def close(self) -> None:
        """Release the model, if this reader loaded it. May be called twice."""
        if self._owns_backend and isinstance(self.backend, Closes):
            self.backend.close()

    @property
    def identity(self) -> str:
        """What must be equal for two answers to the same question and passages to be equal."""
        drawn = (self.seed, self.temperature, self.top_p, self.max_tokens)
        return repr((self.template.digest, drawn, self.backend.identity))

    # ---- inside ---------------------------------------------------------------------------------

    def _request(self, job: ChoiceRequest, options: OptionOrder) -> Generate:
        pictures = [document.images for document in job.passages]
        prompt = self.template.render(
            with_options(job.question.question, options.choices),
            [neutral(document.passage) for document in job.passages],
            images=pictures if any(pictures) else (),
            labels=NUMERIC.shown(len(job.passages)),
            letters=listed(choice_letters(len(options.choices))),
        )
        return Generate(
            prompt,
            stop=self.template.stop,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            sample=job.sample,
        )


def _said(reply: Reply, shown: OptionOrder) -> ChoiceReply:
    if isinstance(reply, Failed):
        return ChoiceReply(shown, failure=reply.reason, usage=reply.usage)
    if not isinstance(reply, Generated):
        raise TypeError(f"a backend answered a writing question with {type(reply).__name__}")
    letter = extract_choice(reply.text, shown.choices)
    return ChoiceReply(
        shown,
        reply.text,
        letter,
        shown.original(letter),
        ended=reply.finish,
        cut_tokens=reply.cut_tokens,
        usage=reply.usage,
    )
