"""What is read from a model about a group of documents: one readout per file.

A readout turns (query, documents) into requests, and the model's replies into a `GroupVerdict`
about the group. It is a generator (`Program`): it does no I/O and knows no backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from limrank_plugins.backends.protocols import Program
from limrank_plugins.checks import finite_number, plain_text, true_or_false, whole_number
from limrank_plugins.data import Document, Query
from limrank_plugins.pieces import piece_rule
from limrank_plugins.prompts import Template
from limrank_plugins.verdicts import GroupVerdict

Reasoning = Literal["full", "none"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a recipe is run: the arguments of `Reranker` that shape requests to the model, checked.

    Attributes:
        reasoning: `"full"` reasons before every verdict, `"none"` reads it from one forward pass.
        samples: reasonings per document, at least 1; their scores are averaged.
        seed: of the sampling.
        temperature: at least 0; None is 0 (greedy) for one sample and 0.7 for several.
        top_p: nucleus of the sampling, in (0, 1].
        max_reasoning_tokens: the reasoning's budget, at least 1 (8,192 as in the paper; a backend lowers it
            to half its context where that is less).
        cut_to_sentence: reasoning ended by the budget loses its unfinished last sentence (Rank1).
        instruction: a benchmark's instruction by name, or a text that holds `{{ query }}`; for a template
            with a place for the task, a sentence that says it.
        chunks: how a document that does not fit is judged by its pieces, see `pieces.piece_rule`; None: its
            end is not read. Not part of the repr, which names jobs and calibrations.

    Raises:
        InputError: a value out of bounds; it is named.
    """

    reasoning: Reasoning = "none"
    samples: int = 1
    seed: int = 0
    temperature: float | None = None
    top_p: float = 0.95
    max_reasoning_tokens: int = 8192
    cut_to_sentence: bool = True
    instruction: str | None = None
    chunks: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        whole_number("samples", self.samples, least=1)
        whole_number("seed", self.seed)
        whole_number("max_reasoning_tokens", self.max_reasoning_tokens, least=1)
        finite_number("top_p", self.top_p, above=0, most=1)
        if self.temperature is not None:
            finite_number("temperature", self.temperature, least=0)
        true_or_false("cut_to_sentence", self.cut_to_sentence)
        if self.instruction is not None:
            plain_text("instruction", self.instruction)
        if self.chunks is not None:
            piece_rule(self.chunks)

    @property
    def changed(self) -> list[str]:
        """Those that are not the defaults, with their values, for messages."""
        values = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        return [f"{name}={value!r:.80}" for name, (value, default) in values.items() if value != default]

    @property
    def drawn_temperature(self) -> float:
        """The temperature that is used."""
        if self.temperature is not None:
            return self.temperature
        return 0.0 if self.samples == 1 else 0.7


class Readout(Protocol):
    """One way to read a model.

    One that judges every document of a group as if it were alone says so in an attribute
    `is_pointwise = True`: all groups are then asked about as one, which costs less.
    """

    @property
    def comparable(self) -> bool:
        """Whether scores of two different lists may be compared."""

    @property
    def permutes(self) -> bool:
        """Whether `samples` are permutations of the group, rather than completions that are drawn."""

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """The capability protocols this readout asks for under these settings."""

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[GroupVerdict]:
        """Say something about the documents of one group: `Scores`, `Order` or `Choice`."""
