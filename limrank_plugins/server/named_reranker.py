"""A reranker behind a name, its collector, and how it keeps to a request's limit of tokens."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from limrank_plugins.backends.protocols import CountsCuts, Generates, ReadsAtMost
from limrank_plugins.checks import plain_text
from limrank_plugins.data import Document, Ranking, ScoreKind
from limrank_plugins.errors import InputError
from limrank_plugins.prompts.passages import PassageLimit
from limrank_plugins.readouts.similarity import Similarity
from limrank_plugins.reranker import Reranker
from limrank_plugins.schedules import Chunks
from limrank_plugins.server.collector import Collector, backends_of, batches_itself
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.refusals import Refusal
from limrank_plugins.wording import shortened


def warm_up(reranker: Reranker) -> None:
    """Load what is loaded with the first request only, so that no client waits for it.

    A model that writes text is there once its reranker is made, and would be asked at length for nothing; one
    behind a server may cost money.

    Raises:
        LimRankError: the model cannot be loaded.
    """
    if not batches_itself(reranker) and not any(isinstance(b, Generates) for b in backends_of(reranker)):
        reranker.rank("ready?", ["a passage", "another one"])


def reads_at_most(reranker: Reranker) -> float:
    """How many tokens of a document its models read, however long it is; infinity where that is not known."""
    if reranker.settings.chunks is not None:  # each piece is read, and there is any number of them
        return math.inf
    if reranker.parts:
        return max(map(reads_at_most, reranker.parts))
    limit = reranker.backend.reads_at_most if isinstance(reranker.backend, ReadsAtMost) else None
    readout = reranker.recipe.readout
    return math.inf if limit is None else limit * (readout.windows if isinstance(readout, Similarity) else 1)


_KEPT = 16
"""Collectors for other limits of tokens; each is small, but clients name any number."""


class NamedReranker:
    """A reranker that clients can name.

    Args:
        name: what they call it.
        reranker: stays the caller's to close.
        limits: of its batches.
        began: called with the number of lists in each batch.
    """

    def __init__(self, name: str, reranker: Reranker, limits: Limits, began: Callable[[int], None]) -> None:
        self.name = name
        self.reranker = reranker
        self._limits, self._began = limits, began
        self._collector = Collector(reranker, limits, began)
        self._limited: OrderedDict[int, Collector] = OrderedDict()

    @property
    def judges_alone(self) -> bool:
        """Whether it reasons about each document alone, so that each can be told as it comes."""
        recipe, settings = self.reranker.recipe, self.reranker.settings
        return settings.reasoning == "full" and recipe.schedule == Chunks(1) and recipe.comparable

    @property
    def passes_through(self) -> bool:
        """As `Collector.passes_through`."""
        return self._collector.passes_through

    @property
    def score_kind(self) -> ScoreKind:
        """What the scores of its answers are, as far as the recipe says."""
        recipe = self.reranker.recipe
        calibrated = self.reranker.calibration is not None
        return "rank" if not recipe.comparable else "probability" if calibrated else recipe.score_kind

    @property
    def waiting(self) -> int:
        """How many of its lists wait for a batch."""
        return sum(collector.waiting for collector in (self._collector, *self._limited.values()))

    async def rank(self, query: str, texts: Sequence[str], most_tokens: int | None = None) -> Ranking:
        """The ranking of these documents, which may be asked for together with those of other requests.

        Args:
            query: what is searched for.
            texts: the documents, in first-stage order.
            most_tokens: how many tokens of a document are read at most.

        Raises:
            Refusal: 422 where `most_tokens` cannot be kept to.
            LimRankError: as for `Reranker.rank`.
        """
        return await self._collector_for(texts, most_tokens).rank(query, [Document(text) for text in texts])

    async def rank_candidates(self, query: str, candidates: Sequence[Document]) -> Ranking:
        """The ranking of what a first stage found, with its scores; errors as for `Reranker.rank`."""
        return await self._collector.rank(query, candidates)

    def check(self, texts: Sequence[str], most_tokens: int | None) -> None:
        """Raise the `Refusal` that `rank` would raise."""
        self._collector_for(texts, most_tokens)

    def _collector_for(self, texts: Sequence[str], most_tokens: int | None) -> Collector:
        # No tokenizer makes more tokens of a text than it has bytes.
        if most_tokens is None or all(len(text.encode("utf-8")) <= most_tokens for text in texts):
            return self._collector
        if reads_at_most(self.reranker) <= most_tokens:
            return self._collector
        if most_tokens not in self._limited:
            limited = self._reading(most_tokens)
            if limited is self.reranker:
                return self._collector
            self._limited[most_tokens] = Collector(limited, self._limits, self._began)
        self._limited.move_to_end(most_tokens)
        while len(self._limited) > _KEPT:
            self._limited.popitem(last=False)
        return self._limited[most_tokens]

    def _reading(self, most_tokens: int) -> Reranker:
        """The reranker, reading no more tokens than this of a document."""
        readout, template = self.reranker.recipe.readout, self.reranker.template
        if isinstance(readout, Similarity):
            windows = int(most_tokens * readout.windows // reads_at_most(self.reranker))
            if windows:
                return self.reranker.with_readout(replace(readout, windows=windows))
        if self.reranker.parts or template is None or not isinstance(self.reranker.backend, CountsCuts):
            raise self._refusal(most_tokens, "does not count the tokens of a document")
        own = template.passage.limit
        if own is not None and own.unit == "words":
            raise self._refusal(most_tokens, f"reads {own} of a document")
        if own is not None and own.size <= most_tokens:
            return self.reranker
        layout = replace(template.passage, limit=PassageLimit(most_tokens, "tokens"))
        return self.reranker.with_template(replace(template, passage=layout))

    def _refusal(self, most_tokens: int, why: str) -> Refusal:
        return Refusal(
            422,
            f"max_tokens_per_doc={most_tokens} cannot be kept to, as {self.name!r} {why}: leave it out, or "
            f"send documents of at most {most_tokens:,} bytes",
        )


def by_name(
    rerankers: Mapping[str, Reranker], limits: Limits, began: Callable[[str, int], None]
) -> dict[str, NamedReranker]:
    """The rerankers that clients can name.

    Args:
        rerankers: by what clients call them; the first one is asked where they name none.
        limits: as for `NamedReranker`.
        began: called with a reranker's name and the number of lists in each of its batches.

    Raises:
        InputError: no reranker, or one without a name.
    """
    if not rerankers:
        raise InputError("rerankers is empty: give at least one, as {'mini': Reranker('mini')}")
    if any(not plain_text("a reranker's name", name).strip() for name in rerankers):
        raise InputError("a reranker's name is empty: clients could not ask for it")
    return {
        name: NamedReranker(name, reranker, limits, partial(began, name))
        for name, reranker in rerankers.items()
    }


def named(served: Mapping[str, NamedReranker], name: str | None) -> NamedReranker:
    """The one that a client names, or the first.

    Raises:
        Refusal: 404 where none has that name.
    """
    if name is None:
        return next(iter(served.values()))
    if name not in served:
        raise Refusal(404, f"there is no model {shortened(name)!r} here; there are: {', '.join(served)}")
    return served[name]
