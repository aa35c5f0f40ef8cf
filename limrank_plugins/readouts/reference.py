"""Every document beside one and the same reference document: which of the two is better (RefRank).

One forward pass for each order of a pair and no text (arXiv 2506.11452). Comparing is easier for a model than
grading, and with one opponent for all it costs as little: calls grow with the list, not with its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Failed, LabelReading, Program, ReadLabels, ReadsLabels, Reply
from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.group_prompts import cut_tokens, group_prompt
from limrank_plugins.readouts.labels import ALPHABETIC
from limrank_plugins.readouts.yes_no import probability
from limrank_plugins.segments import Prompt
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class AgainstReference:
    """P(a document is better than the reference), from the labels' logits.

    With d the logit of a document's label less that of the reference's, the score is sigmoid(d); asked in
    both orders, sigmoid of the mean of both d, so that a leaning to one place cancels out. The reference, and
    what reads as it does, has 1/2. A document fails where one of its questions is not answered, and the
    reference where none is. Scores depend on the reference, so they are not comparable between lists.

    Attributes:
        place: the reference's in the first stage's order, from 1; the last one of a shorter list.
        both_orders: ask with the document before the reference and behind it, rather than before it only.
    """

    place: int = 1
    both_orders: bool = True
    comparable: bool = False
    permutes: ClassVar[bool] = False

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Label logits."""
        return (ReadsLabels,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Compare each document with the reference; see `Readout.ask`."""
        if template is None or len(template.labels) < 2:
            raise InputError("a template that shows two documents, with a label for each, is needed")
        reference = documents[min(self.place, len(documents)) - 1]
        rivals = [i for i, document in enumerate(documents) if not _alike(document, reference)]
        orders = [[0, 1], [1, 0]] if self.both_orders else [[0, 1]]
        prompts = [
            [
                group_prompt(
                    query, [(documents[i], reference)[k] for k in order], template, settings, ALPHABETIC
                )
                for order in orders
            ]
            for i in rivals
        ]
        labels = template.labels[:2]
        replies = yield [ReadLabels(prompt, labels) for of_one in prompts for prompt in of_one]
        judged = [Verdict(0.5) for _ in documents]
        most = 0
        for number, (i, of_one) in enumerate(zip(rivals, prompts, strict=True)):
            given = replies[number * len(orders) : (number + 1) * len(orders)]
            judged[i], cut = _verdict(given, orders, of_one)
            most = max(most, cut)
        failures = [judged[i].failure for i in rivals]
        lost = failures[0] if failures and None not in failures else None
        for i in set(range(len(documents))) - set(rivals):
            judged[i] = Verdict(None if lost else 0.5, failure=lost, cut_tokens=most)
        return Scores(tuple(judged))


def _alike(one: Document, other: Document) -> bool:
    return (one.title, one.text, one.images) == (other.title, other.text, other.images)


def _verdict(
    replies: Sequence[Reply], orders: Sequence[Sequence[int]], prompts: Sequence[Prompt]
) -> tuple[Verdict, int]:
    """The verdict on a document, and how many tokens of the reference were not read.

    Args:
        replies: one for each order.
        orders: where the document (0) and the reference (1) stand.
        prompts: what was asked.
    """
    usage = Usage.total(reply.usage for reply in replies)
    failed = next((reply for reply in replies if isinstance(reply, Failed)), None)
    if failed is not None:
        return Verdict(None, failure=failed.reason, usage=usage), 0
    readings = [reply for reply in replies if isinstance(reply, LabelReading)]
    if len(readings) < len(replies):
        raise TypeError("a backend replied to a request for labels with something else")
    cut = cut_tokens(orders, prompts, [reading.cut_tokens for reading in readings]) or (0, 0)
    logits = [
        sum(reading.logits[order.index(who)] for reading, order in zip(readings, orders, strict=True))
        / len(readings)
        for who in (0, 1)
    ]
    score = probability(logits)
    if score is None:
        reason = f"the label logits are {[list(reading.logits) for reading in readings]}, which give no score"
        return Verdict(None, failure=reason, cut_tokens=cut[0], usage=usage), cut[1]
    return Verdict(score, cut_tokens=cut[0], usage=usage), cut[1]
