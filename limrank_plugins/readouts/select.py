"""The model names the best document of a group, or none: setwise, pairwise, Rank-R1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from limrank_plugins.backends.protocols import Generates, Program, ReadsLabels
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.grouped import arrangements, cuts, listed, write
from limrank_plugins.readouts.label_scores import read_labels
from limrank_plugins.readouts.labels import ALPHABETIC, NUMERIC, Labels
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.readouts.reading import read_choice
from limrank_plugins.ties import best_first
from limrank_plugins.verdicts import Choice


class Selects(Protocol):
    """A readout that chooses one document of a group."""

    @property
    def comparable(self) -> bool:
        """As for `Readout`."""

    @property
    def permutes(self) -> bool:
        """As for `Readout`."""

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """As for `Readout`."""

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Choice]:
        """As for `Readout`."""


@dataclass(frozen=True, slots=True)
class GenerateSelect:
    """Reads the best document's label from what the model writes.

    With `samples=m` the group is asked about in m seeded permutations, and the majority wins; equal
    votes go to the first of the group, which is the first stage's. An answer that cannot be read is
    no vote and counts as a repair; where there is no vote, the model abstains.

    Attributes:
        labels: what the documents are called.
        tagged: the answer is expected in `<answer>` tags, behind a thought.
        exact: the answer must be a label and nothing else.
    """

    labels: Labels = NUMERIC
    tagged: bool = False
    exact: bool = False
    comparable: bool = False
    permutes: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Text."""
        return (Generates,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Choice]:
        """Choose from the group; see `Readout.ask`."""
        if template is None:
            raise InputError("a readout of choices needs a template")
        size = len(documents)
        shown = arrangements(documents, settings)
        prompts = [
            listed(query, [documents[i] for i in order], template, settings, self.labels) for order in shown
        ]
        written = yield from write(prompts, template, settings, answer_tokens=32)
        usage, repairs = Usage(), 0
        votes: Counter[int] = Counter()
        thoughts: dict[int | None, str | None] = {}
        for order, one in zip(shown, written, strict=True):
            usage = usage + one.usage
            if one.failure is not None:
                repairs += len(shown) > 1
                continue
            read = read_choice(one.text, self.labels, size, tagged=self.tagged, exact=self.exact)
            repairs += read.repaired
            choice = order[read.position] if read.position is not None else None
            thoughts.setdefault(choice, one.thought)
            if choice is not None:
                votes[choice] += 1
        if not thoughts:
            return Choice(None, size, failure=written[0].failure, usage=usage)
        winner = best_first([votes[i] for i in range(size)])[0] if votes else None
        return Choice(
            winner,
            size,
            explanation=thoughts[winner],
            repairs=repairs,
            cut_tokens=cuts(shown, prompts, [one.cut_tokens for one in written]),
            usage=usage,
        )


@dataclass(frozen=True, slots=True)
class LabelSelect:
    """Chooses the document whose label is most likely to come next: one forward pass, no text.

    The labels are the template's, one token each. With `samples=m` the log-probabilities of m
    seeded permutations are averaged. Equal labels are an abstention.

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
    ) -> Program[Choice]:
        """Choose from the group; see `Readout.ask`."""
        size = len(documents)
        read = yield from read_labels(query, documents, template, settings, self.labels)
        if read.failure is not None:
            return Choice(None, size, failure=read.failure, usage=read.usage)
        best = max(read.values)
        return Choice(
            None if min(read.values) == best else read.values.index(best),
            size,
            repairs=read.repairs,
            cut_tokens=read.cut_tokens,
            usage=read.usage,
        )


@dataclass(frozen=True, slots=True)
class Symmetrised:
    """Asks about pairs in both orders and believes only what is said both times (PRP, arXiv 2306.17563).

    In a group of more than two, the first document defends its place against one after another; where
    no two answers agree, all of it is an abstention. Where one of them is missing, the group fails.

    Attributes:
        inner: how a pair is read.
    """

    inner: Selects
    comparable: bool = False
    permutes: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """What the inner readout needs."""
        return self.inner.needs(settings)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Choice]:
        """Choose from the group; see `Readout.ask`."""
        size = len(documents)
        champion, agreed = 0, False
        answers: list[Choice] = []
        cut = [0] * size
        for rival in range(1, size):
            pair = [(champion, rival), (rival, champion)]
            both = yield from together(
                [self.inner.ask(query, [documents[i] for i in order], template, settings) for order in pair]
            )
            winners = set()
            for order, answer in zip(pair, both, strict=True):
                winners.add(None if answer.choice() is None else order[answer.choice() or 0])
                for position, tokens in zip(order, answer.cut_tokens, strict=False):
                    cut[position] = max(cut[position], tokens)
            answers += both
            if any(answer.failure is not None for answer in both):
                break
            if len(winners) == 1 and None not in winners:
                agreed = True
                champion = next(winner for winner in winners if winner is not None)
        failure = next((answer.failure for answer in answers if answer.failure is not None), None)
        usage = Usage()
        for answer in answers:
            usage = usage + answer.usage
        explained = [answer.explanation for answer in answers if answer.explanation is not None]
        return Choice(
            champion if agreed and failure is None else None,
            size,
            explanation=explained[-1] if explained else None,
            failure=failure,
            repairs=sum(answer.repairs for answer in answers),
            cut_tokens=tuple(cut) if any(cut) else (),
            usage=usage,
        )
