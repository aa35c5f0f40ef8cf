"""What is found for each question: searched and reranked once, shown to the reader in two conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limrank_evals.answers.shuffling import shuffled
from limrank_evals.loaders.multiple_choice import MultipleChoice, hashed
from limrank_evals.questions.batches import Progress, run_batches
from limrank_evals.questions.conditions import CLOSED_BOOK, RERANK
from limrank_evals.questions.gating import Gate
from limrank_evals.questions.reader_templates import with_options
from limrank_pipelines.rag import Answer, RagPipeline
from limrank_plugins.data import Query
from limrank_plugins.jobs import Job
from limrank_plugins.unread import Unread


@dataclass(frozen=True, slots=True)
class Context:
    """The passages for one question, by identifier, best first.

    Attributes:
        question: its id.
        retrieved: the first stage's best.
        reranked: the reranker's best; None without a reranker.
        candidates: how many passages the first stage handed on.
        unjudged: how many of them the reranker could not judge; they keep the first stage's place.
        unwritten: the query could not be rewritten, so the question itself was searched with.
        outage: nothing could be judged at all.
        reason: of the first failure; "" for none.
        cut_query: the reranker did not read the end of the query.
        cut_documents: of the passages it hands on, how many it did not read whole.

    A context with a failure (unjudged, unwritten) is not kept: a later run asks again.
    """

    question: str
    retrieved: tuple[str, ...] = ()
    reranked: tuple[str, ...] | None = None
    candidates: int = 0
    unjudged: int = 0
    unwritten: bool = False
    outage: bool = False
    reason: str = ""
    cut_query: bool = False
    cut_documents: int = 0

    @property
    def failed(self) -> bool:
        """Whether a model failed on the way to it."""
        return self.unwritten or self.unjudged > 0

    def passages(self, condition: str) -> tuple[str, ...]:
        """Those that the reader is shown in a condition."""
        if condition == CLOSED_BOOK:
            return ()
        return (self.reranked or ()) if condition == RERANK else self.retrieved

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Context:
        """From what `asdict` made of it."""
        lists = {name: record[name] and tuple(record[name]) for name in ("retrieved", "reranked")}
        return cls(**{**record, **lists})


def searched_with(question: MultipleChoice, *, options: bool, seed: int) -> Query:
    """What is searched and reranked with: the question, or the question and its options.

    The options stand in a seeded order: where the set always has the right one first, a model that
    encodes or judges the query would see that.
    """
    if not options:
        return Query(question.question, question.id)
    shown = shuffled(question.choices, question.id, seed=seed)
    return Query(with_options(question.question, shown.choices), question.id)


def find_contexts(
    questions: Sequence[MultipleChoice],
    pipeline: RagPipeline,
    job: Job,
    *,
    gate: Gate,
    options: bool = False,
    seed: int = 0,
    batch: int = 8,
    progress: Progress = lambda stage, done, total: None,
) -> dict[str, Context]:
    """Search and rerank for every question; those in the journal are not searched for again.

    Args:
        questions: with ids of their own.
        pipeline: a first stage with or without rewriter and reranker; its reader is not used.
        job: where each is committed.
        gate: decides what errors say.
        options: search with the options, too.
        seed: of their order.
        batch: how many are searched for in lockstep and committed together.
        progress: told after every batch.
    """

    def work(part: Sequence[MultipleChoice]) -> list[Context]:
        queries = [searched_with(question, options=options, seed=seed) for question in part]
        answers = gate.run("searching and reranking", lambda: pipeline.ask_many(queries))
        return [_context(answer, pipeline.top_n, gate) for answer in answers]

    contexts = run_batches(
        job,
        {json.dumps(["context", q.id, hashed([q.question, *q.choices])]): q for q in questions},
        work,
        Context.from_json,
        lambda context: None if context.failed else asdict(context),
        stage="searching",
        batch=batch,
        progress=progress,
    )
    return {context.question: context for context in contexts}


def _context(answer: Answer, top_n: int, gate: Gate) -> Context:
    ranking, rewritten = answer.ranking, answer.rewritten
    unwritten = None if rewritten is None else rewritten.failure
    failures = [] if ranking is None else [failure.reason for failure in ranking.failures]
    unjudged = len(failures)
    reason = unwritten or next(iter(failures), None)
    unread = Unread() if ranking is None else Unread.in_ranking(ranking)
    return Context(
        answer.query.id,
        tuple(document.id or "" for document in answer.candidates[:top_n]),
        None if ranking is None else tuple(ranking.ids),
        len(answer.candidates),
        unjudged,
        unwritten is not None,
        bool(answer.candidates) and unjudged == len(answer.candidates),
        "" if reason is None else gate.reason(reason),
        unread.queries > 0,
        unread.documents,
    )
