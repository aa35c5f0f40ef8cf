"""`RagPipeline`: rewrite, retrieve, rerank, read. One logic for plain and async code."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from limrank_pipelines.first_stage import FirstStage, Searcher
from limrank_pipelines.reader import Citation, Reader, Reading
from limrank_pipelines.rewriter import Rewrite, Rewriter
from limrank_plugins import driver
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query, Ranking, Usage, as_query
from limrank_plugins.errors import BackendError
from limrank_plugins.reranker import Reranker
from limrank_plugins.retrievers import check_k


class StageFailure(NamedTuple):
    """What went wrong in one stage: `"rewrite"`, `"retrieve"`, `"rerank"` or `"read"`, and why."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A pipeline's answer to one question, and what it rests on.

    Attributes:
        query: the question as it came.
        text: the answer, with citations [1], [2], … of `passages`; None without a reader, or where it
            has none.
        citations: the passages the answer names, each once, in the order of its text.
        passages: what the reader was shown, best first.
        candidates: what the first stage found, best first.
        ranking: how they were reranked, cut to `top_n`; None without a reranker.
        rewritten: the query that was searched with and what it is made of; None without a rewriter.
        abstained: the answer is that the passages do not say.
        timings: seconds of each stage by `time.perf_counter`; of a batch, each question's equal share.
        usage: what the models cost, all stages together.
        repairs: completions that were repaired, all stages together.
        cut_tokens: tokens of the passages that the reader did not read because they did not fit.
        failures: what went wrong and where; the pipeline went on as well as it could.
    """

    query: Query
    text: str | None
    citations: tuple[Citation, ...] = ()
    passages: tuple[Document, ...] = ()
    candidates: tuple[Document, ...] = ()
    ranking: Ranking | None = None
    rewritten: Rewrite | None = None
    abstained: bool = False
    timings: Mapping[str, float] = field(default_factory=dict)
    usage: Usage = Usage()
    repairs: int = 0
    cut_tokens: int = 0
    failures: tuple[StageFailure, ...] = ()


class _Step(NamedTuple):
    """Work for one stage: how plain code does it, and how async code does."""

    run: Callable[[], Any]
    arun: Callable[[], Awaitable[Any]]


class RagPipeline:
    """From a question to an answer with citations. Safe to use from many threads.

    The first stage searches with the rewritten query; the reranker and the reader get the original,
    which is what somebody wanted to know. Every part but the retriever may be left out.

    Args:
        retriever: a first stage of `limrank_plugins.retrievers`, a `HybridRetriever`, or a function of
            a query and a number, plain or async, that gives documents best first.
        rewriter: rewrites the query for the first stage; default: none.
        reranker: a `Reranker` of any recipe; default: none, the first stage's order stands.
        reader: writes the answer; default: none, `Answer.text` is then None.
        k: how many passages the first stage hands on; default 100.
        top_n: how many of the best the reader is shown; default 5.
        clock: for tests: the seconds now.

    Raises:
        InputError: a value that cannot be used.

    Example:
        >>> from limrank_plugins import Document, ScriptedBackend
        >>> from limrank_plugins.retrievers import build_retriever
        >>> corpus = [Document("Bread rises.", id="bread"), Document("Acid curdles milk.", id="acid")]
        >>> reader = Reader(backend=ScriptedBackend(generate=lambda prompt: "Acid [1]."))
        >>> answer = RagPipeline(build_retriever("bm25s", corpus), reader=reader).ask("what curdles milk?")
        >>> answer.text, [citation.id for citation in answer.citations]
        ('Acid [1].', ['acid'])
    """

    def __init__(
        self,
        retriever: FirstStage,
        *,
        rewriter: Rewriter | None = None,
        reranker: Reranker | None = None,
        reader: Reader | None = None,
        k: int = 100,
        top_n: int = 5,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.searcher = Searcher(retriever)
        self.rewriter = rewriter
        self.reranker = reranker
        self.reader = reader
        self.k = check_k(k)
        self.top_n = whole_number("top_n", top_n, least=1)
        self._clock = clock

    def ask(self, query: str | Query) -> Answer:
        """Answer one question.

        Raises:
            InputError: the question is empty.
        """
        return self.ask_many([query])[0]

    async def aask(self, query: str | Query) -> Answer:
        """`ask` for async code: nothing blocks the event loop, served models are asked natively."""
        return (await self.aask_many([query]))[0]

    def ask_many(self, queries: Iterable[str | Query]) -> list[Answer]:
        """Answer many questions in lockstep: every stage puts all of them in one batch."""
        steps = self._steps([as_query(query) for query in queries])
        try:
            step = next(steps)
            while True:
                step = steps.send(step.run())
        except StopIteration as finished:
            answers: list[Answer] = finished.value
            return answers

    async def aask_many(self, queries: Iterable[str | Query]) -> list[Answer]:
        """`ask_many` for async code."""
        steps = self._steps([as_query(query) for query in queries])
        try:
            step = next(steps)
            while True:
                step = steps.send(await step.arun())
        except StopIteration as finished:
            answers: list[Answer] = finished.value
            return answers

    def close(self) -> None:
        """Release the models that its parts have loaded. May be called twice."""
        for part in (self.rewriter, self.reranker, self.reader):
            if part is not None:
                part.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _steps(self, queries: Sequence[Query]) -> Generator[_Step, Any, list[Answer]]:
        if not queries:
            return []
        timings: dict[str, float] = {}

        def timed(stage: str, step: _Step) -> Generator[_Step, Any, Any]:
            started = self._clock()
            result = yield step
            timings[stage] = (self._clock() - started) / len(queries)
            return result

        rewritten: list[Rewrite] | None = None
        searched = list(queries)
        if self.rewriter is not None:
            rewriter = self.rewriter
            rewriting = _or_failed(
                _Step(partial(rewriter.rewrite_many, queries), partial(rewriter.arewrite_many, queries)),
                lambda reason: [Rewrite(query, query, failure=reason) for query in queries],
            )
            rewritten = yield from timed("rewrite", rewriting)
            searched = [rewrite.query for rewrite in rewritten or []]
        candidates: list[list[Document]] = yield from timed("retrieve", self._search(searched))
        rankings: list[Ranking] | None = None
        passages = [documents[: self.top_n] for documents in candidates]
        if self.reranker is not None:
            jobs = list(zip(queries, candidates, strict=True))
            reranking = _Step(
                partial(self.reranker.rank_many, jobs, top_n=self.top_n),
                partial(self.reranker.arank_many, jobs, top_n=self.top_n),
            )
            rankings = yield from timed("rerank", reranking)
            passages = [[hit.document for hit in ranking] for ranking in rankings or []]
        readings: list[Reading] | None = None
        if self.reader is not None:
            shown = list(zip(queries, passages, strict=True))
            reading = _or_failed(
                _Step(partial(self.reader.read_many, shown), partial(self.reader.aread_many, shown)),
                lambda reason: [Reading(None, failure=reason) for _ in shown],
            )
            readings = yield from timed("read", reading)
        return [
            _answer(
                query,
                candidates[i],
                passages[i],
                None if rewritten is None else rewritten[i],
                None if rankings is None else rankings[i],
                None if readings is None else readings[i],
                timings,
            )
            for i, query in enumerate(queries)
        ]

    def _search(self, queries: Sequence[Query]) -> _Step:
        # A program runs once: it is made by whichever of the two is called.
        return _Step(
            lambda: driver.run(self.searcher.searches(queries, self.k)),
            lambda: driver.arun(self.searcher.searches(queries, self.k)),
        )


def _or_failed(step: _Step, failed: Callable[[str], list[Any]]) -> _Step:
    """The step; where its model cannot be asked at all, a failure for every query, as for one reply.

    What was found and reranked is worth having without a reader.
    """

    def run() -> Any:
        try:
            return step.run()
        except BackendError as error:
            return failed(str(error))

    async def arun() -> Any:
        try:
            return await step.arun()
        except BackendError as error:
            return failed(str(error))

    return _Step(run, arun)


def _answer(
    query: Query,
    candidates: Sequence[Document],
    passages: Sequence[Document],
    rewritten: Rewrite | None,
    ranking: Ranking | None,
    reading: Reading | None,
    timings: Mapping[str, float],
) -> Answer:
    failures: list[StageFailure] = []
    usage, repairs = Usage(), 0
    if rewritten is not None:
        usage, repairs = usage + rewritten.usage, repairs + rewritten.repairs
        if rewritten.failure is not None:
            failures.append(StageFailure("rewrite", rewritten.failure))
    if not candidates:
        failures.append(StageFailure("retrieve", "the first stage found no passage"))
    if ranking is not None:
        usage, repairs = usage + ranking.usage, repairs + ranking.repairs
        failures += [StageFailure("rerank", f"document {f.id!r}: {f.reason}") for f in ranking.failures]
    if reading is not None:
        usage, repairs = usage + reading.usage, repairs + reading.repairs
        if reading.failure is not None:
            failures.append(StageFailure("read", reading.failure))
    return Answer(
        query=query,
        text=None if reading is None else reading.text,
        citations=() if reading is None else reading.citations,
        passages=tuple(passages),
        candidates=tuple(candidates),
        ranking=ranking,
        rewritten=rewritten,
        abstained=reading is not None and reading.abstained,
        timings=dict(timings),
        usage=usage,
        repairs=repairs,
        cut_tokens=0 if reading is None else reading.cut_tokens,
        failures=tuple(failures),
    )
