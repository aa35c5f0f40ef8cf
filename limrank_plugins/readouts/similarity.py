"""Cosine similarity of query and passage vectors, lifted by the first stage's score.

`score = cosine(query, passage) + weight · prior / max(prior)`: no trained parameters. The second
term depends on the whole list, so scores are not comparable across lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from limrank_plugins.backends.protocols import Embedded, Encode, Encodes, Failed, Program, Reply, Request
from limrank_plugins.data import Document, Piece, Query, Usage, Verdict
from limrank_plugins.pieces import whole_words
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts import Settings
from limrank_plugins.segments import clean_text
from limrank_plugins.verdicts import Scores

WINDOWS = 16
"""Of a passage at most: what a very long one costs is bounded, and what is behind them is not read."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Embeds the query once and every passage; the encoder alone where no document brings a prior.

    A passage that the encoder would cut is read in windows of its tokens, its title before each, and its
    cosine is the mean of the first one's and the best one's: what a passage is about stands at its beginning
    more often than not, and a long one has more chances of one window that is near by accident.

    Attributes:
        weight: of the prior, which is divided by the list's largest. A document without a prior in
            a list that has some counts as 0, and so does a negative prior.
        windows: the most that are read of a passage; 1: its beginning alone.
    """

    weight: float = 0.35
    windows: int = WINDOWS
    comparable: bool = False
    permutes: ClassVar[bool] = False

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Vectors."""
        return (Encodes,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge the whole list at once; see `Readout.ask`."""
        text = clean_text(instructed(query, settings.instruction))
        requests: list[Request] = [Encode(text, "query", query.images)]
        requests += [self._request(document) for document in documents]
        own, *replies = yield requests
        if isinstance(own, Failed):
            return Scores(tuple(Verdict(None, failure=own.reason) for _ in documents))
        if not isinstance(own, Embedded):
            raise TypeError(f"a backend replied to a request for vectors with {type(own).__name__}")
        lift = self.lift([document.prior for document in documents])
        verdicts = []
        for position, (document, reply) in enumerate(zip(documents, replies, strict=True)):
            usage = reply.usage + own.usage if position == 0 else reply.usage
            verdicts.append(_verdict(document, own, reply, lift[position], usage))
        return Scores(tuple(verdicts))

    def lift(self, priors: Sequence[float | None]) -> list[float]:
        """What each prior adds to its document's cosine."""
        values = [0.0 if prior is None else max(float(prior), 0.0) for prior in priors]
        largest = max(values, default=0.0)
        return [self.weight * value / largest if largest > 0 else 0.0 for value in values]

    def _request(self, document: Document) -> Encode:
        passage = document.passage
        heading = _title(document) + (0 if document.body is None else document.body[0])
        windows = {"windows": self.windows, "heading": heading} if self.windows > 1 else {}
        return Encode(clean_text(passage), "passage", document.images, **windows)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors in double precision; 0 where one of them is all zeros."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    norm = float(np.sqrt(np.sum(x * x) * np.sum(y * y)))
    return float(np.sum(x * y)) / norm if norm > 0 else 0.0


def _verdict(document: Document, query: Embedded, reply: Reply, lift: float, usage: Usage) -> Verdict:
    """What the vectors of a passage say of its document."""
    if not isinstance(reply, Embedded):
        reason = reply.reason if isinstance(reply, Failed) else type(reply).__name__
        return Verdict(None, failure=reason, usage=usage, query_cut_tokens=query.cut_tokens)
    vectors = [window.vector for window in reply.windows] or [reply.vector]
    cosines = [cosine(query.vector, vector) for vector in vectors]
    best = max(range(len(cosines)), key=cosines.__getitem__)
    score = (cosines[0] + cosines[best]) / 2 + lift
    if not np.isfinite(score):
        failure = f"the similarity is {score}"
        return Verdict(None, failure=failure, usage=usage, query_cut_tokens=query.cut_tokens)
    return Verdict(
        score,
        usage=usage,
        cut_tokens=reply.cut_tokens,
        query_cut_tokens=query.cut_tokens,
        piece=_piece(document, reply, best),
    )


def _title(document: Document) -> int:
    """How many characters stand before the text in what a model reads."""
    return len(document.passage) - len(document.text)


def _piece(document: Document, reply: Embedded, best: int) -> Piece | None:
    """The window that decided, in whole words, if there are several."""
    if not reply.windows or len(clean_text(document.passage)) != len(document.passage):
        return None  # characters that were written as two are read as one: places are no longer the caller's
    text, window = document.text, reply.windows[best]
    # What the caller put around the text belongs to no piece of it.
    first, last = document.body if document.body is not None else (0, len(text))
    places = (bound - _title(document) - first for bound in (window.start, window.end))
    start, end = whole_words(text[first:last], *(min(max(0, place), last - first) for place in places))
    return Piece(text[first + start : first + end], first + start, first + end, len(reply.windows))
