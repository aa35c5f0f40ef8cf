"""`Reader`: a question and passages become an answer that says which passages it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limrank_pipelines.citations import neutral, read_citations
from limrank_pipelines.templates import template_of
from limrank_plugins.backends.protocols import Backend, Failed, Generate, Generated, Program
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query, Usage, as_documents, as_query
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.lockstep import forgetting, together
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.store import Store
from limrank_plugins.writer import Writer

ABSTENTION = "The passages do not say."
"""What a reader is told to write where the passages do not hold the answer; it needs no citation."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer names.

    Attributes:
        number: as it stands in the answer's text: 1 for the first passage shown.
        document: the passage.
    """

    number: int
    document: Document

    @property
    def id(self) -> str:
        """The passage's identifier."""
        return self.document.id or ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A reader's answer to a question from its passages.

    Attributes:
        text: the answer, its citations written as [n]; None where there is none.
        citations: the passages it names, each once, in the order of the text.
        abstained: it says that the passages do not hold the answer.
        failure: why there is no answer, or why there is one without a citation; None otherwise.
        repairs: citations of passages that are not there (they are left out of the text), an answer
            written again because it cited nothing, an answer that its budget ended: each counts 1.
        cut_tokens: tokens of the passages that did not fit and were not read.
        usage: what it cost.
    """

    text: str | None
    citations: tuple[Citation, ...] = ()
    abstained: bool = False
    failure: str | None = None
    repairs: int = 0
    cut_tokens: int = 0
    usage: Usage = Usage()


class Reader(Writer):
    """Answers questions from passages and cites them. Safe to use from many threads.

    Passages are shown as [1], [2], … in the order they come in. A question or a passage that holds
    such a name, or a tag, has it in round brackets before the model reads it.

    Args:
        model: folder, hub name or GGUF file of an instruction-tuned model; for a served one, its name there.
        backend: a backend that writes, or the name of one (`"transformers"`, `"openai"`); default
            `"transformers"`.
        recite: ask once more where an answer cites nothing; default True. What still cites nothing is
            kept, with `Reading.failure` saying so.
        max_tokens: the budget of an answer, reasoning before it included; default 1,024. Give models
            that reason much more.
        temperature: default 0.
        top_p: nucleus of the sampling; default 1.
        seed: of the sampling; default 0.
        sample: which draw of that seed; default 0.
        template: the path of a `.toml` file with another template (`limrank_plugins.prompts`); it is
            given `query`, `documents`, `labels` and `abstention`.
        store: completions found in it are not asked for again, new ones are put into it. Default: none.
        options: passed to the backend's constructor where the backend is given by name.

    Raises:
        InputError: a value that cannot be used.
        CapabilityError: the backend cannot write.
        MissingExtra: an optional dependency is not installed.

    Example:
        >>> from limrank_plugins import ScriptedBackend
        >>> reader = Reader(backend=ScriptedBackend(generate=lambda prompt: "Acid does [2]."))
        >>> reader.read("what curdles milk?", ["Bread rises.", "Acid curdles milk."]).citations[0].id
        '1'
    """

    def __init__(
        self,
        model: str | None = None,
        backend: str | Backend = "transformers",
        *,
        recite: bool = True,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float = 1.0,
        seed: int = 0,
        sample: int = 0,
        template: str | None = None,
        store: Store | None = None,
        **options: Any,
    ) -> None:
        self.recite = recite
        self.sample = whole_number("sample", sample, least=0)
        super().__init__(
            template_of("cited", template),
            model,
            backend,
            purpose="a reader",
            max_tokens=1024 if max_tokens is None else max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            store=store,
            options=options,
        )

    def read(self, query: str | Query, documents: Iterable[str | Document]) -> Reading:
        """Answer one question from these passages, best first.

        Raises:
            InputError: the question is empty, or two passages have one identifier.
        """
        return self.read_many([(query, documents)])[0]

    async def aread(self, query: str | Query, documents: Iterable[str | Document]) -> Reading:
        """`read` for async code: nothing blocks the event loop."""
        return (await self.aread_many([(query, documents)]))[0]

    def read_many(self, jobs: Iterable[tuple[str | Query, Iterable[str | Document]]]) -> list[Reading]:
        """Answer many questions in lockstep: every step puts all of them in one batch."""
        return self.run(together(self._programs(jobs)))

    async def aread_many(self, jobs: Iterable[tuple[str | Query, Iterable[str | Document]]]) -> list[Reading]:
        """`read_many` for async code."""
        return await self.arun(together(self._programs(jobs)))

    @property
    def identity(self) -> str:
        """What must be equal for two readings of the same passages to be equal."""
        sampling = (self.seed, self.sample, self.temperature, self.top_p, self.max_tokens)
        again = template_of("recite").digest if self.recite else ""
        return repr((self.template.digest, again, sampling, self.backend.identity))

    # ---- inside ---------------------------------------------------------------------------------

    def _programs(
        self, jobs: Iterable[tuple[str | Query, Iterable[str | Document]]]
    ) -> list[Program[Reading]]:
        return [
            forgetting(self._program(as_query(query), as_documents(documents)), _is_unanswered)
            for query, documents in jobs
        ]

    def _program(self, query: Query, documents: Sequence[Document]) -> Program[Reading]:
        if not documents:
            return Reading(None, failure="there is no passage to read")
        (reply,) = yield [self._request(self.template, query, documents)]
        first = _reading(self.usable(reply, may_abstain=True), documents)
        if first.text is None or first.citations or first.abstained or not self.recite:
            return first
        shown = [*documents, Document(first.text)]
        (reply,) = yield [self._request(template_of("recite"), query, shown)]
        second = _reading(self.usable(reply, may_abstain=True), documents)
        better = second if second.citations or second.abstained else first
        return replace(
            better,
            repairs=first.repairs + second.repairs + 1,
            cut_tokens=max(first.cut_tokens, second.cut_tokens),
            usage=first.usage + second.usage,
        )

    def _request(self, template: Template, query: Query, documents: Sequence[Document]) -> Generate:
        images = [document.images for document in documents]
        prompt = template.render(
            neutral(instructed(query, None)),
            [neutral(document.passage) for document in documents],
            query_images=query.images,
            images=images if any(images) else (),
            labels=NUMERIC.shown(len(documents)),
            abstention=ABSTENTION,
        )
        return replace(self.request(prompt, self.sample), stop=template.stop)


def _is_unanswered(reading: Reading) -> bool:
    return reading.text is None


def _reading(reply: Generated | Failed, documents: Sequence[Document]) -> Reading:
    if isinstance(reply, Failed):
        return Reading(None, failure=reply.reason, usage=reply.usage)
    cited = read_citations(split_reasoning(reply.text)[1].strip(), len(documents))
    if not cited.text:
        failure = "the model wrote nothing but numbers of passages"
        return Reading(None, failure=failure, cut_tokens=reply.cut_tokens, usage=reply.usage)
    abstained = not cited.numbers and cited.text.rstrip(".").casefold() == ABSTENTION.rstrip(".").casefold()
    return Reading(
        cited.text,
        tuple(Citation(number, documents[number - 1]) for number in cited.numbers),
        abstained=abstained,
        failure=None if cited.numbers or abstained else "the answer cites no passage",
        repairs=cited.strangers + (reply.finish == "length"),
        cut_tokens=reply.cut_tokens,
        usage=reply.usage,
    )
