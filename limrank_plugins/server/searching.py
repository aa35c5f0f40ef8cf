"""The first stage over HTTP: which corpora there are, and a query's candidates in one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from limrank_plugins.checks import plain_text
from limrank_plugins.errors import InputError
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.refusals import Refusal
from limrank_plugins.server.request_bodies import check_query, read_as, read_object, without_halves
from limrank_plugins.server.schemas import NOT_BLANK, Natural
from limrank_plugins.server.served_corpus import ServedCorpus
from limrank_plugins.wording import shortened

_DEPTH = 100


class SearchRequest(BaseModel):
    """What is searched for, and where. A field that is not listed here is refused, unless it is null."""

    model_config = ConfigDict(extra="forbid", strict=True)

    corpus: str | None = Field(None, description="A name that GET /corpora lists; default: the first one.")
    query: str = Field(
        description="What is searched for; not blank.", min_length=1, json_schema_extra=NOT_BLANK
    )
    depth: Natural | None = Field(
        None,
        description="How many candidates are returned at most; default: 100.",
    )


class Candidate(BaseModel):
    """A document that the first stage returns."""

    id: str
    title: str
    text: str
    passage: str = Field(description="Title and text as one, as POST /rerank takes a document.")
    score: float = Field(description="The first stage's.")


class SearchAnswer(BaseModel):
    """The candidates."""

    corpus: str
    candidates: list[Candidate] = Field(description="In first-stage order; fewer where fewer match.")


class Example(BaseModel):
    """A query to try."""

    query: str
    grades: dict[str, int] = Field(description="What people said, by document id: above 0 is relevant.")


class ListedCorpus(BaseModel):
    """A corpus that can be named in `corpus`."""

    id: str
    documents: int
    retriever: str
    examples: list[Example]


class CorpusList(BaseModel):
    """All of them, the default first."""

    data: list[ListedCorpus]


class Searching:
    """The corpora of a server.

    Args:
        corpora: by the name that clients call each.
        limits: of a query, and of the depth.

    Raises:
        InputError: one without a name.
    """

    def __init__(self, corpora: Mapping[str, ServedCorpus], limits: Limits) -> None:
        if any(not plain_text("a corpus's name", name).strip() for name in corpora):
            raise InputError("a corpus's name is empty: clients could not ask for it")
        self._corpora, self._limits = dict(corpora), limits

    def listed(self) -> CorpusList:
        """What can be searched."""
        return CorpusList(
            data=[
                ListedCorpus(
                    id=name,
                    documents=len(corpus.retriever),
                    retriever=corpus.retriever.name,
                    examples=[Example(query=one.text, grades=dict(one.grades)) for one in corpus.examples],
                )
                for name, corpus in self._corpora.items()
            ]
        )

    def read(self, body: bytes) -> SearchRequest:
        """The request in a body.

        Raises:
            Refusal: 422 for what is not of its shape, 413 for more than is accepted, 404 for another corpus.
        """
        value = read_object(body)
        request = read_as(SearchRequest, without_halves(value) if b"\\u" in body else value)
        check_query(request.query, self._limits)
        most = self._limits.documents
        if request.depth is not None and request.depth > most:
            raise Refusal(413, f"depth is too high: at most {most:,} are accepted, but got {request.depth:,}")
        self._named(request.corpus)
        return request

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """The first `depth` candidates.

        Raises:
            LimRankError: as for `Retriever.search`.
        """
        name, corpus = self._named(request.corpus)
        depth = request.depth or min(_DEPTH, self._limits.documents)
        documents = await asyncio.to_thread(corpus.retriever.search, request.query, depth)
        return SearchAnswer(
            corpus=name,
            candidates=[
                Candidate(
                    id=document.id or "",
                    title=document.title,
                    text=document.text,
                    passage=document.passage,
                    score=document.prior or 0.0,
                )
                for document in documents
            ],
        )

    def _named(self, name: str | None) -> tuple[str, ServedCorpus]:
        if not self._corpora:
            raise Refusal(404, "no corpus is served here: start the server with --corpus")
        if name is None:
            return next(iter(self._corpora.items()))
        if name not in self._corpora:
            known = ", ".join(self._corpora)
            raise Refusal(404, f"there is no corpus {shortened(name)!r} here; there are: {known}")
        return name, self._corpora[name]
