"""The documents' own labels as scores: their logits where the model would write the best one (FIRST).

One forward pass and no text (arXiv 2406.15657; reproduced in 2411.05508). A model that was trained to
write `[C] > [A] > …` has decided the whole order by the time it writes the first letter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Failed, LabelReading, Program, ReadLabels, ReadsLabels, Reply
from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.group_prompts import cut_tokens, group_prompt, shown_orders
from limrank_plugins.readouts.labels import ALPHABETIC, Labels
from limrank_plugins.verdicts import Scores
from limrank_plugins.wording import number_of


@dataclass(frozen=True, slots=True)
class LabelValues:
    """The values of a group's labels.

    Attributes:
        values: for each document, in the group's order, its label's logit; over several permutations
            the mean log-probability, which is a logit without its unknown offset. Empty for none.
        failure: why there are none, or None.
        repairs: permutations that could not be read, where others could.
        cut_tokens: per document, tokens that were not read; empty for none.
        usage: what it cost.
    """

    values: tuple[float, ...]
    failure: str | None = None
    repairs: int = 0
    cut_tokens: tuple[int, ...] = ()
    usage: Usage = Usage()


def read_label_values(
    query: Query, documents: Sequence[Document], template: Template | None, settings: Settings, labels: Labels
) -> Program[LabelValues]:
    """Read the labels of a group once, or with `samples=m` in m seeded permutations.

    Args:
        query: what is searched for.
        documents: the group.
        template: it has a label of one token for each of them, in their order.
        settings: `samples`, `seed` and `instruction` are used.
        labels: what the documents are called in the prompt.

    Raises:
        InputError: the template has fewer labels than there are documents.
    """
    size = len(documents)
    if template is None or len(template.labels) < min(size, 26):
        raise InputError(f"a template with a label for each of {number_of(size, 'document')} is needed")
    orders = shown_orders(documents, settings)
    prompts = [
        group_prompt(query, [documents[i] for i in order], template, settings, labels) for order in orders
    ]
    replies = yield [ReadLabels(prompt, template.labels[:size]) for prompt in prompts]
    usage = Usage.total(reply.usage for reply in replies)
    failures: list[str] = []
    # One list per permutation that could be read: the documents' values, in the group's order.
    readings: list[list[float]] = []
    for order, reply in zip(orders, replies, strict=True):
        values = _values(reply, shares=len(orders) > 1)
        if isinstance(values, str):
            failures.append(values)
        else:
            by_document = dict(zip(order, values, strict=True))
            readings.append([by_document[i] for i in range(size)])
    if not readings:
        return LabelValues((), failure=failures[0], usage=usage)
    tokens = [reply.cut_tokens if isinstance(reply, LabelReading) else 0 for reply in replies]
    return LabelValues(
        tuple(sum(values) / len(values) for values in zip(*readings, strict=True)),
        repairs=len(failures),
        cut_tokens=cut_tokens(orders, prompts, tokens),
        usage=usage,
    )


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Scores every document of a group by its label's raw logit.

    A logit means something beside those of the same prompt only, so scores are not comparable. With
    `samples=m` they are mean log-probabilities over m seeded permutations of the group.

    Attributes:
        labels: what the documents are called in the prompt.
    """

    labels: Labels = ALPHABETIC
    comparable: bool = False
    permutes: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Label logits."""
        return (ReadsLabels,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Score the group; see `Readout.ask`.

        Raises:
            InputError: more documents than the template has labels.
        """
        size = len(documents)
        if template is not None and size > len(template.labels):
            raise InputError(
                f"{len(template.labels)} documents at most can be scored in one prompt, but got {size}: let "
                f"a window slide over them (recipe 'first', mode=window), or rerank the first "
                f"{len(template.labels)} only"
            )
        values = yield from read_label_values(query, documents, template, settings, self.labels)
        return Scores(tuple(_verdict(values, i) for i in range(size)))


def _verdict(group: LabelValues, position: int) -> Verdict:
    """The verdict on one document; what the request cost is noted on the first."""
    cut = group.cut_tokens[position] if group.cut_tokens else 0
    usage = group.usage if position == 0 else Usage()
    if group.failure is not None:
        return Verdict(None, failure=group.failure, cut_tokens=cut, usage=usage)
    value = group.values[position]
    repairs = group.repairs if position == 0 else 0
    if not math.isfinite(value):
        reason = f"the logit of its label is {value}, which is no score"
        return Verdict(None, failure=reason, cut_tokens=cut, repairs=repairs, usage=usage)
    return Verdict(value, cut_tokens=cut, repairs=repairs, usage=usage)


def _values(reply: Reply, *, shares: bool) -> list[float] | str:
    """The logits, or with `shares` the log-probabilities of the labels among themselves; or why none."""
    if isinstance(reply, Failed):
        return reply.reason
    if not isinstance(reply, LabelReading):
        raise TypeError(f"a backend replied to a request for labels with {type(reply).__name__}")
    top = max(reply.logits)
    if any(math.isnan(z) for z in reply.logits) or math.isinf(top):
        return f"the label logits are {list(reply.logits)}, which give no probabilities"
    if not shares:
        return list(reply.logits)
    total = top + math.log(math.fsum(math.exp(z - top) for z in reply.logits))
    return [z - total for z in reply.logits]
