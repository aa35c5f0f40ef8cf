"""`Reader`: a question and passages become an answer that says which passages it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from limrank_pipelines.citations import CitedText, neutral, read_citations
from limrank_pipelines.writing import drawn_at, nucleus, whole, writing_backend
from limrank_plugins import driver
from limrank_plugins.backends.protocols import (
    Backend,
    Closes,
    Failed,
    Generate,
    Generated,
    Program,
    Reply,
    Request,
)
from limrank_plugins.data import Document, Query, Usage, as_documents, as_query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, instructed, load_template, parse_template
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.store import Store

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
    """What a reader made of a question and its passages.

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


class Reader:
    """Answers questions from passages and cites them. Safe to use from many threads.

    Passages are shown as [1], [2], … in the order they come in. A question or a passage that holds
    such a name, or a tag, has it in round brackets before the model reads it.

    Args:
        model: folder or hub name of an instruction-tuned model; for a served one, its name there.
        backend: a backend that writes, or the name of one (`"transformers"`, `"openai"`); default
            `"transformers"`.
        recite: ask once more where an answer cites nothing; default True. What still cites nothing is
            kept, with `Reading.failure` saying so.
        max_tokens: the budget of an answer, a thought before it included; default 1,024. Give models
            that think much more.
        temperature: default 0.
        top_p: nucleus of the sampling; default 1.
        seed: of the sampling; default 0.
        sample: which draw of that seed; default 0.
        template: the path of a `.toml` file with another wording (`limrank_plugins.prompts`); it is
            given `query`, `documents`, `labels` and `abstention`.
        store: answers found in it are not written again, new ones are put into it. Default: none.
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
        self.template = _wording(template)
        self.recite = recite
        self.max_tokens = whole("max_tokens", max_tokens, 1024, least=1)
        self.seed = whole("seed", seed, 0, least=None)
        self.sample = whole("sample", sample, 0, least=0)
        self.temperature = drawn_at(temperature, 1)
        self.top_p = nucleus(top_p)
        self.store = store
        self._owns_backend = isinstance(backend, str)
        self.backend = writing_backend("a reader", backend, model, options)

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
        return driver.run(self._addressed(jobs), self.store)

    async def aread_many(self, jobs: Iterable[tuple[str | Query, Iterable[str | Document]]]) -> list[Reading]:
        """`read_many` for async code."""
        return await driver.arun(self._addressed(jobs), self.store)

    def close(self) -> None:
        """Release the model, if this reader loaded it. May be called twice."""
        if self._owns_backend and isinstance(self.backend, Closes):
            self.backend.close()

    @property
    def identity(self) -> str:
        """What must be equal for two readings of the same passages to be equal."""
        drawn = (self.seed, self.sample, self.temperature, self.top_p, self.max_tokens)
        again = _packaged("recite").digest if self.recite else ""
        return repr((self.template.digest, again, drawn, self.backend.identity))

    # ---- inside ---------------------------------------------------------------------------------

    def _addressed(
        self, jobs: Iterable[tuple[str | Query, Iterable[str | Document]]]
    ) -> driver.Addressed[list[Reading]]:
        prepared = [(as_query(query), as_documents(documents)) for query, documents in jobs]
        asked = [driver.on(self.backend, self._program(query, docs)) for query, docs in prepared]
        return driver.together(asked)

    def _program(self, query: Query, documents: Sequence[Document]) -> Program[Reading]:
        if not documents:
            return Reading(None, failure="there is no passage to read")
        (reply,) = yield [self._request(self.template, query, documents)]
        said = _answer(reply, documents)
        if said.text is None or said.citations or said.abstained or not self.recite:
            return said
        shown = [*documents, Document(said.text)]
        (reply,) = yield [self._request(_packaged("recite"), query, shown)]
        again = _answer(reply, documents)
        better = again if again.citations or again.abstained else said
        return replace(
            better,
            repairs=said.repairs + again.repairs + 1,
            cut_tokens=max(said.cut_tokens, again.cut_tokens),
            usage=said.usage + again.usage,
        )

    def _request(self, template: Template, query: Query, documents: Sequence[Document]) -> Request:
        pictures = [document.images for document in documents]
        prompt = template.render(
            neutral(instructed(query, None)),
            [neutral(document.passage) for document in documents],
            query_images=query.images,
            images=pictures if any(pictures) else (),
            labels=NUMERIC.shown(len(documents)),
            abstention=ABSTENTION,
        )
        return Generate(
            prompt,
            stop=template.stop,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            sample=self.sample,
        )


def _answer(reply: Reply, documents: Sequence[Document]) -> Reading:
    if isinstance(reply, Failed):
        return Reading(None, failure=reply.reason, usage=reply.usage)
    if not isinstance(reply, Generated):
        raise TypeError(f"a backend answered a writing question with {type(reply).__name__}")
    thought, answer = split_reasoning(reply.text)
    found: CitedText = read_citations(answer.strip(), len(documents))
    cut = int(reply.finish == "length")
    if not found.text:
        failure = "the model wrote nothing" if thought is None else "the model wrote only reasoning"
        return Reading(None, failure=failure, cut_tokens=reply.cut_tokens, usage=reply.usage)
    abstained = not found.numbers and found.text.rstrip(".").casefold() == ABSTENTION.rstrip(".").casefold()
    return Reading(
        found.text,
        tuple(Citation(number, documents[number - 1]) for number in found.numbers),
        abstained=abstained,
        failure=None if found.numbers or abstained else "the answer cites no passage",
        repairs=found.strangers + cut,
        cut_tokens=reply.cut_tokens,
        usage=reply.usage,
    )


def _wording(template: str | None) -> Template:
    if template is None:
        return _packaged("cited")
    if not template.endswith(".toml"):
        raise InputError(f"template must be the path of a .toml file, but got {template!r}")
    return load_template(template)


def _packaged(name: str) -> Template:
    file = resources.files("limrank_pipelines").joinpath("prompts", f"{name}.toml")
    return parse_template(name, file.read_text("utf-8"))
