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
from limrank_plugins.readouts import Readout, Settings
from limrank_plugins.readouts.completions import complete
from limrank_plugins.readouts.group_prompts import cut_tokens, group_prompt, shown_orders
from limrank_plugins.readouts.label_scores import read_label_values
from limrank_plugins.readouts.labels import ALPHABETIC, NUMERIC, Labels
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.readouts.parsing import parse_choice
from limrank_plugins.readouts.released_choice import released_choice
from limrank_plugins.readouts.usable import is_abstention, names_nothing
from limrank_plugins.ties import best_first
from limrank_plugins.verdicts import Choice


class Selects(Readout, Protocol):
    """A readout that chooses one document of a group."""

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Choice]:
        """As for `Readout`."""


@dataclass(frozen=True, slots=True)
class GenerateSelect:
    """Reads the best document's label from what the model writes.

    With `samples=m` the group is asked about in m seeded permutations, and the majority wins; equal
    votes go to the first of the group, which is the first stage's. A completion that chooses nothing
    (two of the documents, one that is not shown, "neither") is no vote and counts as a repair; where there
    is no vote, the model abstains. One with nothing usable (empty, a refusal, about something else) counts
    as a repair where others were usable; where none was, the group fails.

    Attributes:
        labels: what the documents are called.
        tagged: the answer is expected in `<answer>` tags, behind reasoning.
        exact: the answer must be a label and nothing else.
        released: read as Rank-R1's authors do; whatever names no document then is an abstention.
    """

    labels: Labels = NUMERIC
    tagged: bool = False
    exact: bool = False
    released: bool = False
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
        orders = shown_orders(documents, settings)
        prompts = [
            group_prompt(query, [documents[i] for i in order], template, settings, self.labels)
            for order in orders
        ]
        completions = yield from complete(prompts, template, settings, answer_tokens=32)
        usage = Usage.total(completion.usage for completion in completions)
        failures: list[str] = []
        repairs = 0
        votes: Counter[int] = Counter()
        reasonings: dict[int | None, str | None] = {}
        for order, completion in zip(orders, completions, strict=True):
            if completion.failure is not None:
                failures.append(completion.failure)
                continue
            if self.released:
                text = f"<think>{completion.text}" if completion.apart else completion.text
                reading = released_choice(text, self.labels, size)
            else:
                reading = parse_choice(
                    completion.text, self.labels, size, tagged=self.tagged, exact=self.exact
                )
                if reading.position is None and not is_abstention(completion.text, self.labels):
                    failures.append(names_nothing(completion.text))
                    continue
            repairs += reading.repaired
            choice = order[reading.position] if reading.position is not None else None
            reasonings.setdefault(choice, completion.reasoning)
            if choice is not None:
                votes[choice] += 1
        cut = cut_tokens(orders, prompts, [completion.cut_tokens for completion in completions])
        if not reasonings:
            explanation = completions[0].reasoning
            return Choice(None, size, explanation, failures[0], cut_tokens=cut, usage=usage)
        winner = best_first([votes[i] for i in range(size)])[0] if votes else None
        return Choice(
            winner,
            size,
            explanation=reasonings[winner],
            repairs=repairs + len(failures),
            cut_tokens=cut,
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
        values = yield from read_label_values(query, documents, template, settings, self.labels)
        if values.failure is not None:
            return Choice(None, size, failure=values.failure, usage=values.usage)
        best = max(values.values)
        return Choice(
            None if min(values.values) == best else values.values.index(best),
            size,
            repairs=values.repairs,
            cut_tokens=values.cut_tokens,
            usage=values.usage,
        )


@dataclass(frozen=True, slots=True)
class Symmetrised:
    """Asks about pairs in both orders and believes only what is said both times (PRP, arXiv 2306.17563).

    In a group of more than two, the first document defends its place against one after another; where
    no two choices agree, all of it is an abstention. Where one of them is missing, the group fails.

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
        choices: list[Choice] = []
        cut = [0] * size
        for rival in range(1, size):
            pair = [(champion, rival), (rival, champion)]
            both = yield from together(
                [self.inner.ask(query, [documents[i] for i in order], template, settings) for order in pair]
            )
            winners = set()
            for order, choice in zip(pair, both, strict=True):
                winners.add(None if choice.index is None else order[choice.index])
                for position, tokens in zip(order, choice.cut_tokens, strict=False):
                    cut[position] = max(cut[position], tokens)
            choices += both
            if any(choice.failure is not None for choice in both):
                break
            if len(winners) == 1 and None not in winners:
                agreed = True
                champion = next(winner for winner in winners if winner is not None)
        failure = next((choice.failure for choice in choices if choice.failure is not None), None)
        reasonings = [choice.explanation for choice in choices if choice.explanation is not None]
        return Choice(
            champion if agreed and failure is None else None,
            size,
            explanation=reasonings[-1] if reasonings else None,
            failure=failure,
            repairs=sum(choice.repairs for choice in choices),
            cut_tokens=tuple(cut) if any(cut) else (),
            usage=Usage.total(choice.usage for choice in choices),
        )
