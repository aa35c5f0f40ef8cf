"""The first stage's own score; nothing is asked. A baseline, and a part to fuse with."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Reply, Request
from limrank_plugins.data import Document, Query, Verdict
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class Prior:
    """A document's score is its prior.

    Where no document has one, all scores are 0 and the order stays; one without among others that
    have one is scored as the least of them, so it comes after all that are better than that.
    """

    comparable: bool = False
    permutes: ClassVar[bool] = False

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Nothing."""
        return ()

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Generator[list[Request], list[Reply], Scores]:
        """Read the priors; see `Readout.ask`."""
        known = [document.prior for document in documents if document.prior is not None]
        least = min(known, default=0.0)
        scores = [least if document.prior is None else document.prior for document in documents]
        return Scores(tuple(Verdict(float(score)) for score in scores))
        yield []  # never reached: a program is a generator, also where it has nothing to ask
