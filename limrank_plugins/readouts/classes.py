"""How well labels fit a text, all labels read together: GLiClass (arXiv 2508.07662).

As a reranker either the query is the text and the passages are its labels, in one request, or each
passage is a text with the query as its only label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Classifies, Classify, Failed, Numbers, Program, Reply
from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.group_prompts import shown_orders
from limrank_plugins.readouts.pairs import Activation, activated, check_activation, sigmoid, unseen
from limrank_plugins.segments import clean_text
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class PassageClass:
    """Each passage is a text, the query its only label. Scores do not depend on the other passages.

    Attributes:
        activation: as in `PairScore`.
    """

    activation: Activation = "sigmoid"
    comparable: bool = True
    permutes: ClassVar[bool] = False
    is_pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_activation(self.activation)

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Logits of labels."""
        return (Classifies,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge each document; see `Readout.ask`. One with an image, or any if the query has one, fails."""
        label = clean_text(instructed(query, settings.instruction))
        blind = [unseen(query, document) for document in documents]
        seen = [document for document, reason in zip(documents, blind, strict=True) if reason is None]
        replies = iter((yield [Classify(clean_text(document.passage), (label,)) for document in seen]))
        verdicts = [
            self._verdict(next(replies)) if reason is None else Verdict(None, failure=reason)
            for reason in blind
        ]
        return Scores(tuple(verdicts))

    def _verdict(self, reply: Reply) -> Verdict:
        if isinstance(reply, Failed):
            return Verdict(None, failure=reply.reason, usage=reply.usage)
        numbers = _checked(reply, 1)
        return activated(numbers.values[0], self.activation, numbers)


@dataclass(frozen=True, slots=True)
class JointClasses:
    """The query is the text, the passages are its labels: one request for all of them.

    A passage's logit depends on the others and on their order, so scores of two lists cannot be
    compared. With `samples=m` the passages are shown in m seeded permutations, and each one's score
    is the mean of those that were answered; the others count as repairs.

    Attributes:
        activation: as in `PairScore`.
    """

    activation: Activation = "none"
    comparable: bool = False
    permutes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_activation(self.activation)

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Logits of labels."""
        return (Classifies,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge the group; see `Readout.ask`. Documents with images fail, the others are asked about."""
        text = clean_text(instructed(query, settings.instruction))
        blind = [unseen(query, document) for document in documents]
        places = [place for place, reason in enumerate(blind) if reason is None]
        seen = [documents[place] for place in places]
        verdicts = [Verdict(None, failure=reason) for reason in blind]
        if seen:
            orders = shown_orders(seen, settings)
            passages = [clean_text(document.passage) for document in seen]
            replies = yield [Classify(text, tuple(passages[i] for i in order)) for order in orders]
            for place, verdict in zip(places, self._merged(orders, replies, passages), strict=True):
                verdicts[place] = verdict
        return Scores(tuple(verdicts))

    def _merged(
        self, orders: Sequence[Sequence[int]], replies: Sequence[Reply], passages: Sequence[str]
    ) -> list[Verdict]:
        size = len(passages)
        usage = Usage.total(reply.usage for reply in replies)
        logits: list[list[float]] = [[] for _ in range(size)]
        failure, repairs, cut = "", 0, 0
        for order, reply in zip(orders, replies, strict=True):
            if isinstance(reply, Failed):
                failure, repairs = failure or reply.reason, repairs + 1
                continue
            numbers = _checked(reply, size)
            cut = max(cut, numbers.cut_tokens)
            for place, value in zip(order, numbers.values, strict=True):
                logits[place].append(value)
        # The longest are cut first; how many tokens of each is not known, so all are noted on the longest.
        longest = max(range(size), key=lambda i: len(passages[i]))
        verdicts: list[Verdict] = []
        for i, values in enumerate(logits):
            cost = usage if i == 0 else Usage()
            if not values:
                verdicts.append(Verdict(None, failure=failure, usage=cost))
                continue
            mean = math.fsum(values) / len(values)
            score, tie = (mean, None) if self.activation == "none" else (sigmoid(mean), mean)
            verdicts.append(
                Verdict(
                    score,
                    tie,
                    cut_tokens=cut if i == longest else 0,
                    repairs=repairs if i == 0 else 0,
                    usage=cost,
                )
            )
        return verdicts


def _checked(reply: Reply, labels: int) -> Numbers:
    if not isinstance(reply, Numbers):
        raise TypeError(f"a backend replied to a request for classes with {type(reply).__name__}")
    if len(reply.values) != labels:
        raise TypeError(f"a backend gave {len(reply.values)} numbers for {labels} labels")
    return reply
