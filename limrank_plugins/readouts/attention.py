"""The attention that a query pays to documents: in-context re-ranking (ICR, arXiv 2410.02642).

A token's score is the attention it gets from the end of the prompt, less what it gets for a query
without content. With d the calibrated scores of one document's tokens, its own score is the sum of all
d_j > mean(d) - 2·std(d) (§3: tokens far below the others are noise). Two forward passes, no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from limrank_plugins.backends.protocols import (
    Attend,
    Attended,
    Attends,
    Failed,
    Program,
    Reply,
    Vector,
)
from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.group_prompts import cut_tokens, group_prompt, shown_orders
from limrank_plugins.readouts.labels import NUMERIC, Labels
from limrank_plugins.ties import same_text
from limrank_plugins.verdicts import Scores

CONTENT_FREE = "N/A"


@dataclass(frozen=True, slots=True)
class Attention:
    """Scores the documents of a group by the attention they get; joint, so not comparable across lists.

    With `samples=m` the scores of m seeded permutations of the group are averaged. Documents that
    read the same get the same score, their mean. A document without any text gets 0, as much as one
    that the query changes nothing about. Its label is one of a document's tokens, as in the released code.

    Attributes:
        calibrate: take off what a query without content gets. Without, long documents win.
        order: how the group is shown: `"worst-first"` puts the first document nearest to the query, as
            the paper does.
        labels: what the documents are called in the prompt.
    """

    calibrate: bool = True
    order: Literal["worst-first", "best-first"] = "worst-first"
    labels: Labels = NUMERIC
    comparable: bool = False
    permutes: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Attention."""
        return (Attends,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge the whole list at once; see `Readout.ask`."""
        if template is None:
            raise InputError("a readout of attention needs a template")
        step = -1 if self.order == "worst-first" else 1
        orders = [order[::step] for order in shown_orders(documents, settings)]
        queries = [query, Query(CONTENT_FREE)] if self.calibrate else [query]
        prompts = [
            tuple(
                group_prompt(q, [documents[i] for i in order], template, settings, self.labels)
                for q in queries
            )
            for order in orders
        ]
        replies = yield [Attend(group) for group in prompts]
        usage = Usage.total(reply.usage for reply in replies)
        failures: list[str] = []
        readings: list[list[float | None]] = []
        for order, reply in zip(orders, replies, strict=True):
            scores = _scores(reply, len(order), len(queries))
            if isinstance(scores, str):
                failures.append(scores)
            else:
                by_document = dict(zip(order, scores, strict=True))
                readings.append([by_document[i] for i in range(len(documents))])
        if not readings:
            return Scores(_noted([Verdict(None, failure=failures[0]) for _ in documents], usage, 0))
        means = _tied(documents, [_mean(scores) for scores in zip(*readings, strict=True)])
        cut = cut_tokens(
            orders,
            [group[0] for group in prompts],
            [reply.cut_tokens if isinstance(reply, Attended) else 0 for reply in replies],
        )
        verdicts = [
            _verdict(document, mean, cut[i] if cut else 0)
            for i, (document, mean) in enumerate(zip(documents, means, strict=True))
        ]
        return Scores(_noted(verdicts, usage, len(failures)))


def document_score(weights: Vector, calibration: Vector | None = None) -> float:
    """The score of one document from the attention to its tokens, shape (tokens,); 0 without any.

    A token is left out where it is more than two standard deviations (of a sample) under the mean.
    """
    values = weights.astype(np.float64)
    if calibration is not None:
        values = values - calibration.astype(np.float64)
    if len(values) > 1:
        # Equal values have no spread but rounding's, which must not throw out half of them.
        bound = values.mean() - 2 * values.std(ddof=1) - 1e-9 * np.abs(values).max()
        values = values[~(values <= bound)]
    return float(values.sum())


def _scores(reply: Reply, size: int, prompts: int) -> list[float | None] | str:
    """One score for each document shown, None where it has no token, or why there are none."""
    if isinstance(reply, Failed):
        return reply.reason
    if not isinstance(reply, Attended):
        raise TypeError(f"a backend replied to a request for attention with {type(reply).__name__}")
    if len(reply.weights) != prompts or any(len(rows) != size for rows in reply.weights):
        raise TypeError(
            "a backend replied with attention to other prompts or documents than those of the request"
        )
    own, *others = reply.weights
    scores: list[float | None] = []
    for i, weights in enumerate(own):
        score = document_score(weights, others[0][i] if others else None)
        if not np.isfinite(score):
            return f"the attention to document {i + 1} of the prompt is {score}"
        scores.append(score if len(weights) else None)
    return scores


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def _tied(documents: Sequence[Document], means: Sequence[float | None]) -> list[float | None]:
    """Documents that read the same are a tie, wherever they were shown: each gets their mean."""
    first = same_text(documents, priors=False)
    members: dict[int, list[float | None]] = {}
    for position, mean in zip(first, means, strict=True):
        members.setdefault(position, []).append(mean)
    return [_mean(members[position]) for position in first]


def _verdict(document: Document, score: float | None, cut: int) -> Verdict:
    if score is None and document.passage.strip():
        reason = "nothing of the document fits into the prompt beside the others: rank fewer documents"
        return Verdict(None, failure=reason, cut_tokens=cut)
    return Verdict(score if score is not None else 0.0, cut_tokens=cut)


def _noted(verdicts: Sequence[Verdict], usage: Usage, repairs: int) -> tuple[Verdict, ...]:
    """The verdicts, with what the group cost noted on the first."""
    first, *others = verdicts
    return (replace(first, repairs=repairs, usage=usage), *others)
