"""What a recipe is: a prompt, a readout and a schedule; or other recipes and a wrapper around them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self

from limrank_plugins.backends.protocols import Reply
from limrank_plugins.data import Document, Query, ScoreKind
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, load_template
from limrank_plugins.prompts.passages import passage_limit
from limrank_plugins.readouts import Readout, Reasoning, Settings
from limrank_plugins.schedules import Schedule
from limrank_plugins.verdicts import Outcome

OutcomeProgram = Generator[list[Any], list[Reply], Outcome]
"""A program that ranks documents; a wrapper passes its requests on and does not look into them."""

PartRanker = Callable[[Sequence[Document]], OutcomeProgram]
"""One of a recipe's parts at work: ranks some of a query's documents."""


class Wrapper(Protocol):
    """One way to make a ranking of the parts' rankings."""

    @property
    def comparable(self) -> bool:
        """Whether scores of two different lists may be compared."""

    @property
    def score_kind(self) -> ScoreKind:
        """What the scores are; `"rank"` where there are none."""

    def of(self, parts: Sequence[Recipe]) -> Self:
        """The wrapper for these parts, whose scores may decide what its own are.

        Raises:
            InputError: no ranking can be made of them.
        """

    def __call__(
        self, query: Query, documents: Sequence[Document], parts: Sequence[PartRanker]
    ) -> OutcomeProgram:
        """Rank a query's documents with the parts; a document that fails in a part it was given to fails."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the recipes that another is made of.

    Attributes:
        recipe: its name, with options if it has any, or the recipe.
        reasoning: its own; None: the recipe's default.
        shared: it is run on the last part's backend rather than on its recipe's own.
    """

    recipe: str | Recipe
    reasoning: Reasoning | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """A ranking method, ready to be run on a backend that has what its readout needs.

    Attributes:
        name: what `Reranker(recipe=…)` and `--recipe` call it.
        summary: one line for people.
        oracle: what the model is asked: `"score"`, `"order"` or `"select"`.
        readout: what is read from the model; None for a recipe made of others.
        schedule: which documents are asked about together; None for a recipe made of others.
        score_kind: what a score is.
        backend: the backend that is used where none is named.
        model: the checkpoint that is used where none is named.
        template: the prompt template's name, or None for recipes without a prompt.
        chat_template: the template that models in general are asked with in a chat, where `template` is a
            raw completion that only trained weights understand; None: `template` serves every model.
        reasoning: the default; None where the method has no reasoning to switch.
        calls, tokens: per query, as formulas in N (documents), Q, D and T (tokens of the query part,
            of a document, of the reasoning).
        paper: where it is published.
        licence: of the checkpoint.
        checkpoints: other weights made for this recipe.
        max_reasoning_tokens: the default budget of the reasoning.
        prepare: what is done to a query's documents before they are asked about (InsertRank scales
            their priors over the whole list), or None. Rankings hold the documents as they came.
        for_images: it is made to be shown documents' images.
        wrapper: what makes one ranking of the parts' rankings, or None.
        parts: the recipes this one is made of. A model, a backend, reasoning and samples that are
            given to `Reranker` are the last one's.
        passage_limit: the most of a passage that is read, as in `"300 words"`, `"512 tokens"` or
            `"none"`; None: the template's own.
        leaning: why scores of one list lean on each other as the loaded backend asks, whatever the readout
            says, and what to do against it; empty where they do not.
    """

    name: str
    summary: str
    oracle: Literal["score", "order", "select"]
    readout: Readout | None
    schedule: Schedule | None
    score_kind: ScoreKind
    backend: str
    model: str
    template: str | None = None
    chat_template: str | None = None
    reasoning: Reasoning | None = None
    calls: str = "N"
    tokens: str = "Q + N·D"
    paper: str = ""
    licence: str = ""
    checkpoints: tuple[str, ...] = ()
    max_reasoning_tokens: int = 8192
    prepare: Callable[[Sequence[Document]], Sequence[Document]] | None = None
    for_images: bool = False
    wrapper: Wrapper | None = None
    parts: tuple[Part, ...] = ()
    passage_limit: str | None = None
    leaning: str = ""

    def __post_init__(self) -> None:
        is_own = self.readout is not None and self.schedule is not None
        if is_own == (self.wrapper is not None):
            raise InputError(
                f"recipe {self.name!r} needs either a readout and a schedule, or a wrapper and its parts"
            )
        if self.passage_limit is not None:
            passage_limit(self.passage_limit)

    def load_template(self, named: str | None = None) -> Template | None:
        """The recipe's template, or another that is named, with the recipe's own passage limit.

        Raises:
            InputError: there is no such template, or the limit is none.
        """
        name = named if named is not None else self.template
        if name is None:
            return None
        template = load_template(name)
        if self.passage_limit is None:
            return template
        layout = replace(template.passage, limit=passage_limit(self.passage_limit))
        return replace(template, passage=layout)

    @property
    def comparable(self) -> bool:
        """Whether scores of two lists may be compared."""
        if self.leaning:
            return False
        if self.wrapper is not None:
            return self.wrapper.comparable
        return self.readout is not None and self.readout.comparable

    @property
    def permutes(self) -> bool:
        """Whether several samples are several permutations of each group, which vote."""
        return self.readout is not None and self.readout.permutes

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """The capability protocols its own readout asks for; a recipe made of others has none."""
        return () if self.readout is None else self.readout.needs(settings)
