"""The model writes the order of a group: RankGPT (arXiv 2304.09542), InsertRank, ReasonRank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Generates, Program, WrittenOrder
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.completions import Completion, complete
from limrank_plugins.readouts.group_prompts import cut_tokens, group_prompt, shown_orders
from limrank_plugins.readouts.labels import NUMERIC, Labels
from limrank_plugins.readouts.parsing import parse_order
from limrank_plugins.readouts.priors import PriorLines
from limrank_plugins.readouts.usable import names_nothing
from limrank_plugins.segments import Prompt
from limrank_plugins.ties import best_first
from limrank_plugins.verdicts import Order


@dataclass(frozen=True, slots=True)
class GenerateOrder:
    """Reads `[2] > [1] > …` from what the model writes.

    With `samples=m` the group is asked about in m seeded permutations, and the orders are merged by
    the mean position of each document, equal means in the order of the group (permutation
    self-consistency, arXiv 2310.07712, with Borda's count). What cannot be read is a repair and no vote.

    Attributes:
        labels: what the documents are called.
        tagged: the answer is expected in `<answer>` tags, behind reasoning.
        priors: how the template is given each document's prior; None: not at all.
    """

    labels: Labels = NUMERIC
    tagged: bool = False
    priors: PriorLines | None = None
    comparable: bool = False
    permutes: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Text."""
        return (Generates,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Order]:
        """Order the group; see `Readout.ask`.

        Without a usable reply (none at all, an empty one, one that names no document): as it is, failed.
        """
        if template is None:
            raise InputError("a readout of orders needs a template")
        orders = shown_orders(documents, settings)
        prompts: list[Prompt] = []
        for order in orders:
            shown = [documents[i] for i in order]
            priors = {} if self.priors is None else self.priors.names(shown)
            prompts.append(group_prompt(query, shown, template, settings, self.labels, **priors))
        size = len(documents)
        # A label of two digits and what separates it from the next is six tokens at most.
        completions = yield from complete(
            prompts, template, settings, answer_tokens=6 * size + 32, order=self._form(size)
        )
        usage = Usage.total(completion.usage for completion in completions)
        repairs, places = 0, [0] * size
        usable: list[Completion] = []
        failures: list[str] = []
        for order, completion in zip(orders, completions, strict=True):
            if completion.failure is not None:
                failures.append(completion.failure)
                continue
            reading = parse_order(completion.text, self.labels, order, tagged=self.tagged)
            if reading.empty:
                failures.append(names_nothing(completion.text))
                continue
            usable.append(completion)
            repairs += reading.repaired
            for place, position in enumerate(reading.order):
                places[position] += place
        cut = cut_tokens(orders, prompts, [completion.cut_tokens for completion in completions])
        if not usable:
            return Order(
                tuple(range(size)),
                explanation=completions[0].reasoning,
                failure=failures[0],
                cut_tokens=cut,
                usage=usage,
            )
        return Order(
            tuple(best_first([-place for place in places])),
            explanation=usable[0].reasoning,
            repairs=repairs + len(failures),
            cut_tokens=cut,
            usage=usage,
        )

    def _form(self, size: int) -> WrittenOrder | None:
        """What a model may be held to; None for a list such as `[2, 1]`."""
        if self.labels.kind == "plain":
            return None
        return WrittenOrder(self.labels.shown(size), "</think>", "<answer>" if self.tagged else "")
