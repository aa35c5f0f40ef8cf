"""Cosine similarity of query and passage vectors, lifted by the first stage's score.

`score = cosine(query, passage) + weight · prior / max(prior)`: no trained parameters. The second
term depends on the whole list, so scores are not comparable across lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from limrank_plugins.backends.protocols import Embedded, Encode, Encodes, Failed, Program, Request
from limrank_plugins.data import Document, Query, Verdict
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts import Settings
from limrank_plugins.segments import clean_text
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class Similarity:
    """Embeds the query once and every passage; the encoder alone where no document brings a prior.

    Attributes:
        weight: of the prior, which is divided by the list's largest. A document without a prior in
            a list that has some counts as 0, and so does a negative prior.
    """

    weight: float = 0.35
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
        own, *passages = yield requests
        if isinstance(own, Failed):
            return Scores(tuple(Verdict(None, failure=own.reason) for _ in documents))
        if not isinstance(own, Embedded):
            raise TypeError(f"a backend replied to a request for vectors with {type(own).__name__}")
        lift = self.lift([document.prior for document in documents])
        verdicts: list[Verdict] = []
        for position, reply in enumerate(passages):
            usage = reply.usage + own.usage if position == 0 else reply.usage
            if isinstance(reply, Embedded):
                score = cosine(own.vector, reply.vector) + lift[position]
                failure = None if np.isfinite(score) else f"the similarity is {score}"
                cut = reply.cut_tokens
                verdicts.append(
                    Verdict(None if failure else score, failure=failure, usage=usage, cut_tokens=cut)
                )
            else:
                reason = reply.reason if isinstance(reply, Failed) else type(reply).__name__
                verdicts.append(Verdict(None, failure=reason, usage=usage))
        return Scores(tuple(replace(verdict, query_cut_tokens=own.cut_tokens) for verdict in verdicts))

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
