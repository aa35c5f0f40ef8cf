"""The model writes the order of a group: RankGPT (arXiv 2304.09542), InsertRank, ReasonRank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Generates, Program
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.grouped import arrangements, cuts, listed, write
from limrank_plugins.readouts.labels import NUMERIC, Labels
from limrank_plugins.readouts.priors import PriorLines
from limrank_plugins.readouts.reading import read_order
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
        tagged: the answer is expected in `<answer>` tags, behind a thought.
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
        """Order the group; see `Readout.ask`. No answer: the order as it is, marked as failed."""
        if template is None:
            raise InputError("a readout of orders needs a template")
        shown = arrangements(documents, settings)
        prompts = [
            listed(
                query,
                in_turn,
                template,
                settings,
                self.labels,
                **({} if self.priors is None else self.priors.given(in_turn)),
            )
            for in_turn in ([documents[i] for i in order] for order in shown)
        ]
        size = len(documents)
        # A label of two digits and what separates it from the next is six tokens at most.
        written = yield from write(prompts, template, settings, answer_tokens=6 * size + 32)
        usage, repairs, places = Usage(), 0, [0] * size
        for order, one in zip(shown, written, strict=True):
            usage = usage + one.usage
            if one.failure is None:
                read = read_order(one.text, self.labels, order, tagged=self.tagged)
                repairs += read.repaired
                for place, position in enumerate(() if read.empty else read.order):
                    places[position] += place
            elif len(shown) > 1:
                repairs += 1
        answered = [i for i, one in enumerate(written) if one.failure is None]
        if not answered:
            return Order(tuple(range(size)), failure=written[0].failure, usage=usage)
        return Order(
            tuple(best_first([-place for place in places])),
            explanation=written[answered[0]].thought,
            repairs=repairs,
            cut_tokens=cuts(shown, prompts, [one.cut_tokens for one in written]),
            usage=usage,
        )
