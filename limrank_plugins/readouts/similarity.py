"""Cosine similarity of query and passage vectors, lifted by the first stage's score.

`score = cosine(query, passage) + weight · prior / max(prior)`: no trained parameters. The second
term depends on the whole list, so scores are not comparable across lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from limrank_plugins.backends.protocols import Embedded, Encode, Encodes, Failed, Program, Reply, Request
from limrank_plugins.data import Document, Piece, Query, Usage, Verdict
from limrank_plugins.pieces import even_spans
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts import Settings
from limrank_plugins.segments import clean_text
from limrank_plugins.verdicts import Scores

Pieces = Literal["first", "best", "both"]
MOST_PIECES = 16
"""Of a passage: what a very long one costs is bounded, and what is behind them is not read."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Embeds the query once and every passage; the encoder alone where no document brings a prior.

    Of a passage that the encoder cuts the beginning is judged, or pieces of about one length, its title
    before each.

    Attributes:
        weight: of the prior, which is divided by the list's largest. A document without a prior in
            a list that has some counts as 0, and so does a negative prior.
        pieces: `"first"`: the beginning alone, as much as the encoder reads; `"best"`: the best piece;
            `"both"`: the mean of the two, as what a passage is about stands at its beginning more often than
            not, and a long one has more chances of one piece that is near by accident.
    """

    weight: float = 0.35
    pieces: Pieces = "first"
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
        requests += [Encode(clean_text(d.passage), "passage", d.images) for d in documents]
        own, *beginnings = yield requests
        if isinstance(own, Failed):
            return Scores(tuple(Verdict(None, failure=own.reason) for _ in documents))
        if not isinstance(own, Embedded):
            raise TypeError(f"a backend replied to a request for vectors with {type(own).__name__}")
        passages = [
            _Passage.of(d, reply, self.pieces) for d, reply in zip(documents, beginnings, strict=True)
        ]
        further: list[Request] = [request for passage in passages for request in passage.further()]
        replies = iter((yield further) if further else ())
        lift = self.lift([document.prior for document in documents])
        verdicts: list[Verdict] = []
        for position, passage in enumerate(passages):
            verdict = passage.verdict(own, [next(replies) for _ in passage.spans[1:]], lift[position])
            usage = verdict.usage + own.usage if position == 0 else verdict.usage
            verdicts.append(replace(verdict, usage=usage, query_cut_tokens=own.cut_tokens))
        return Scores(tuple(verdicts))

    def lift(self, priors: Sequence[float | None]) -> list[float]:
        """What each prior adds to its document's cosine."""
        values = [0.0 if prior is None else max(float(prior), 0.0) for prior in priors]
        largest = max(values, default=0.0)
        return [self.weight * value / largest if largest > 0 else 0.0 for value in values]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors in double precision; 0 where one of them is all zeros."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    norm = float(np.sqrt(np.sum(x * x) * np.sum(y * y)))
    return float(np.sum(x * y)) / norm if norm > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Passage:
    """A document, the encoder's reply to it, and where its pieces stand in its title and text.

    Attributes:
        document: whose passage it is.
        reply: on as much of the passage as the encoder reads.
        pieces: see `Similarity`.
        spans: of the beginning and of further pieces, in characters of the passage.
        before: what stands before each further piece: the title, and what the caller put before the text.
    """

    document: Document
    reply: Reply
    pieces: Pieces
    spans: list[tuple[int, int]]
    before: str = ""

    @classmethod
    def of(cls, document: Document, reply: Reply, pieces: Pieces) -> _Passage:
        """The beginning alone where all of it was read, nothing else is wanted, or nobody knows what was."""
        passage = document.passage
        read = reply.read if isinstance(reply, Embedded) else None
        if not read or pieces == "first" or read >= len(passage):
            return cls(document, reply, pieces, [(0, len(passage))])
        start = len(passage) - len(document.text) + (document.body[0] if document.body is not None else 0)
        if 2 * start > read:  # it would leave no room to speak of
            start = 0
        spans = even_spans(passage, start, max(1, read - start), MOST_PIECES)
        return cls(document, reply, pieces, [(0, read), *spans[1:]], passage[:start])

    def further(self) -> list[Encode]:
        """What is asked about the pieces behind the beginning."""
        passage = self.document.passage
        return [Encode(clean_text(self.before + passage[start:end])) for start, end in self.spans[1:]]

    def verdict(self, query: Embedded, further: Sequence[Reply], lift: float) -> Verdict:
        """What the pieces together say."""
        replies = [self.reply, *further]
        usage = Usage.total(reply.usage for reply in replies)
        for reply in replies:
            if not isinstance(reply, Embedded):
                reason = reply.reason if isinstance(reply, Failed) else type(reply).__name__
                return Verdict(None, failure=reason, usage=usage)
        vectors = [reply for reply in replies if isinstance(reply, Embedded)]
        similarities = [cosine(query.vector, reply.vector) for reply in vectors]
        best = max(range(len(similarities)), key=similarities.__getitem__)
        similarity = similarities[best]
        if self.pieces == "both":
            similarity = (similarities[0] + similarity) / 2
        score = similarity + lift
        if not np.isfinite(score):
            return Verdict(None, failure=f"the similarity is {score}", usage=usage)
        return Verdict(score, usage=usage, cut_tokens=self._unread(vectors), piece=self._piece(best))

    def _piece(self, place: int) -> Piece | None:
        if len(self.spans) == 1:
            return None
        text = self.document.text
        title = len(self.document.passage) - len(text)
        # What the caller put around the text belongs to no piece of it.
        first, last = self.document.body if self.document.body is not None else (0, len(text))
        start, end = (min(max(first, bound - title), last) for bound in self.spans[place])
        return Piece(text[start:end], start, end, len(self.spans))

    def _unread(self, replies: Sequence[Embedded]) -> int:
        """Tokens in no piece, as many to a character as behind the beginning, and those cut from pieces."""
        beginning, *further = replies
        if not further:
            return beginning.cut_tokens
        length = len(self.document.passage)
        share = (length - self.spans[-1][1]) / (length - self.spans[0][1])
        return round(share * beginning.cut_tokens) + sum(reply.cut_tokens for reply in further)
