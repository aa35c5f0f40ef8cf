"""Recipes made of recipes: one idea per file.

A wrapper receives what each part would be asked, decides which documents each is asked about, and
makes one outcome of theirs. Like a readout it is a generator that does no I/O; unlike one, it does
not know what its parts ask, or whom. A document that fails in a part that was asked about it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, Self

from limrank_plugins.answers import Outcome
from limrank_plugins.backends.protocols import Reply
from limrank_plugins.data import Document, Query, ScoreKind, Usage, Verdict

Asked = Generator[list[Any], list[Reply], Outcome]
"""A program about some documents; its questions are opaque to a wrapper, which only passes them on."""


class Facts(Protocol):
    """What a wrapper may know about a part; every `Recipe` has it."""

    @property
    def name(self) -> str:
        """The recipe's name."""

    @property
    def oracle(self) -> str:
        """`"score"`, `"order"` or `"select"`."""

    @property
    def score_kind(self) -> ScoreKind:
        """What its scores are; `"rank"` where it has none."""

    @property
    def comparable(self) -> bool:
        """Whether scores of two lists may be compared."""


class Ask(NamedTuple):
    """A part: what is known about it, and what it says about documents in this order."""

    facts: Facts
    about: Callable[[Sequence[Document]], Asked]


class Wrapper(Protocol):
    """One way to make a ranking of rankings."""

    @property
    def comparable(self) -> bool:
        """Whether scores of two different lists may be compared."""

    @property
    def score_kind(self) -> ScoreKind:
        """What the scores are; `"rank"` where there are none."""

    def of(self, parts: Sequence[Facts]) -> Self:
        """The wrapper for these parts, whose scores may decide what its own are.

        Raises:
            InputError: no ranking can be made of them.
        """

    def __call__(self, query: Query, documents: Sequence[Document], parts: Sequence[Ask]) -> Asked:
        """The outcome for a query's documents; no questions where there is nothing to ask."""


def after(before: Verdict, now: Verdict) -> Verdict:
    """What was found out later, and the cost of both."""
    return replace(
        now,
        cut_tokens=max(before.cut_tokens, now.cut_tokens),
        repairs=before.repairs + now.repairs,
        usage=before.usage + now.usage,
    )


def spent_on(verdicts: Iterable[Verdict]) -> Usage:
    """What they cost together."""
    usage = Usage()
    for verdict in verdicts:
        usage = usage + verdict.usage
    return usage
