"""What the store of replies costs: a query that was asked before, and memory while many pairs stream."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from limrank_evals.bench import passages as texts
from limrank_evals.bench.interleaved import Contest, run
from limrank_pipelines.bulk import BulkPlan, partitions, work_alone
from limrank_pipelines.bulk_jobs import write_jobs
from limrank_plugins import Reranker
from limrank_plugins.arguments import Thinking
from limrank_plugins.backends.protocols import Generate, Generated, LabelReading, ReadLabels, Reply, Request
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.reply_store import ReplyStore, To
from limrank_plugins.store import Store

DEPTH = 100
AIM = 2.0
"""Milliseconds for 100 documents."""
QUICK_PAIRS, PAIRS = 2_000, 100_000
_QUERY = "why does milk curdle in tea"
_KINDS: dict[str, Thinking] = {"without reasoning": "none", "with reasoning": "full"}
_AT_ONCE = 10  # queries in one timing
_PARTITION = 100  # queries, the default of `limrank bulk`
_REASONING = "The passage names the cause that the query asks for, and says how it comes about."


class AtOnce:
    """A backend that answers at once.

    Attributes:
        asked: the requests that it was given last.
        most: how many it was ever given together.
    """

    name = "at-once"
    identity = "at-once|bench"

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.most = 0

    def read_labels(self, requests: Sequence[ReadLabels]) -> list[Reply]:
        """A document is as relevant as its prompt is long."""
        self._note(requests)
        return [_reading(request) for request in requests]

    def generate(self, requests: Sequence[Generate]) -> list[Reply]:
        """The same reasoning for all, and labels as above."""
        self._note(requests)
        return [Generated(_REASONING, "stop", _reading(request)) for request in requests]

    def _note(self, requests: Sequence[Request]) -> None:
        self.asked = list(requests)
        self.most = max(self.most, len(requests))


def _reading(request: ReadLabels | Generate) -> LabelReading:
    return LabelReading((len(request.prompt.text) / 1000, 1.0), Usage(prompt_tokens=1))


@dataclass(frozen=True, slots=True)
class Repeated:
    """What a query of 100 documents costs whose replies are all in the store.

    Attributes:
        name: with or without reasoning.
        milliseconds: of CPU, the median: prompts, keys, looking up, verdicts, the ranking.
        store_milliseconds: the store's part of it: keys, looking up, replies out of bytes.
        ratio: the store's part of the whole, the median of the rounds.
        spread: the highest ratio of a round less the lowest.
    """

    name: str
    milliseconds: float
    store_milliseconds: float
    ratio: float
    spread: float


@dataclass(frozen=True, slots=True)
class Streamed:
    """Memory while pairs stream through `limrank bulk`, one query after the other, into a store.

    Attributes:
        pairs: of a query and a passage, all together.
        peak_bytes: the most that Python objects took, above what there was before.
        pairs_at_once: the most that the backend was given together.
    """

    pairs: int
    peak_bytes: int
    pairs_at_once: int


def repeated(rounds: int) -> Iterator[Repeated]:
    """A query that was asked before, without reasoning and with it."""
    documents = list(texts.passages(texts.sentences(), DEPTH))
    with tempfile.TemporaryDirectory(prefix="limrank-bench-") as place:
        for name, reasoning in _KINDS.items():
            backend = AtOnce()
            with Store(Path(place, reasoning)) as store:
                reranker = Reranker("limrank", backend=backend, reasoning=reasoning, store=store)
                reranker.rank(_QUERY, documents)
                outcome = run(_repeated(reranker, documents, backend.asked, store), rounds)
            part, whole = outcome.their_milliseconds, outcome.milliseconds
            yield Repeated(name, whole, part, outcome.ratio, outcome.spread)


def _repeated(
    reranker: Reranker, documents: Sequence[Document], requests: Sequence[Request], store: Store
) -> Contest:
    """The whole against the store's part of it."""

    def whole() -> Any:
        for _ in range(_AT_ONCE):
            reranker.rank(_QUERY, documents)
        return np.zeros(0)

    def part() -> Any:
        for _ in range(_AT_ONCE):
            # New ones each time: one that was looked up knows its key.
            ReplyStore(store).find([To(reranker.backend, request) for request in requests])
        return np.zeros(0)

    return Contest("repeated", _AT_ONCE, whole, part)


def streamed(pairs: int) -> Streamed:
    """So many pairs, as `limrank bulk` ranks them: a file of jobs, a partition at a time."""
    backend = AtOnce()
    queries = max(1, pairs // DEPTH)
    with tempfile.TemporaryDirectory(prefix="limrank-bench-") as place:
        jobs, folder = Path(place, "jobs.jsonl"), Path(place, "output")
        folder.mkdir()
        write_jobs(jobs, _jobs(queries))
        plan = BulkPlan(
            jobs,
            folder,
            lambda: Reranker("limrank", backend=backend, reasoning="none"),
            open_store=lambda: Store(Path(place, "store.sqlite")),
        )
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in work_alone(plan, partitions(jobs, _PARTITION)[0]):
                pass
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    return Streamed(queries * DEPTH, peak, backend.most)


def _jobs(queries: int) -> Iterator[tuple[Query, list[Document]]]:
    coming = texts.passages(texts.sentences(), queries * DEPTH)
    for number in range(queries):
        yield Query(f"{_QUERY} {number}", str(number)), list(islice(coming, DEPTH))
