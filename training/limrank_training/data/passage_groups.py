"""A query and its passages as they are shown, and what is known about them: which is best, in what order."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.seeding import seeded


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of a group.

    Attributes:
        text, title: as a model reads them, joined by a space.
        id: what the file calls it; may be empty.
        grade: how relevant it is, 0 for not at all; None where that is not known.
        reason: why it stands where it does, for a trace that goes through all passages.
        images: files of its images.
    """

    text: str
    title: str = ""
    id: str = ""
    grade: float | None = None
    reason: str = ""
    images: tuple[Path, ...] = ()

    def document(self) -> Document:
        """What a reranker is given for it.

        Raises:
            InputError: an image cannot be read.
        """
        images = tuple(Image.open(file) for file in self.images)
        return Document(self.text, id=self.id or None, title=self.title, images=images)


@dataclass(frozen=True, slots=True)
class PassageGroup:
    """Passages of one query. Positions count from 0, in the order in which they are shown.

    Attributes:
        query: as the model will read it.
        passages: two at least, but for a graded one, which stands alone.
        order: positions, best first; empty where it is not given.
        gold: the position of the best one; None where it is not given.
        trace: reasoning that leads to the answer; it may name labels, so such a group cannot be shuffled.
        where: file and line, for messages.
        repaired: whether tags of reasoning were taken off the trace.
    """

    query: str
    passages: tuple[Passage, ...]
    order: tuple[int, ...] = ()
    gold: int | None = None
    trace: str = ""
    where: str = ""
    repaired: bool = False

    @property
    def grades(self) -> dict[int, float]:
        """Grades by position, of the passages that have one."""
        return {i: p.grade for i, p in enumerate(self.passages) if p.grade is not None}

    def query_and_documents(self) -> tuple[Query, list[Document]]:
        """What a reranker is given.

        Raises:
            InputError: an image cannot be read; the group's line is named.
        """
        try:
            return Query(self.query), [passage.document() for passage in self.passages]
        except InputError as error:
            raise InputError(f"{self.where}: {error}") from error

    def picked(self, positions: Sequence[int]) -> PassageGroup:
        """These passages in this order; the gold order and the gold passage go along.

        Raises:
            InputError: passages are to change places, but a trace names labels; or the gold is left out.
        """
        if list(positions) == list(range(len(self.passages))):
            return self
        if self.trace:
            raise InputError(
                f"{self.where}: the trace may name labels, so the passages must stay as they are: not "
                f"shuffled, and no more than lists.size of them"
            )
        places = {old: new for new, old in enumerate(positions)}
        if self.gold is not None and self.gold not in places:
            raise InputError(f"{self.where}: the gold passage cannot be left out")
        return replace(
            self,
            passages=tuple(self.passages[i] for i in positions),
            order=tuple(places[i] for i in self.order if i in places),
            gold=None if self.gold is None else places[self.gold],
        )

    def shuffled(self, seed: int) -> PassageGroup:
        """In an order that depends on the seed, the query and the passages alone."""
        positions = list(range(len(self.passages)))
        self._draw(seed).shuffle(positions)
        return self.picked(positions)

    def limited(self, size: int, seed: int) -> PassageGroup:
        """At most so many: the best one always, the others drawn by the seed, shown as before."""
        if len(self.passages) <= size:
            return self
        best = self.gold if self.gold is not None else self.best_first()[0]
        others = [i for i in range(len(self.passages)) if i != best]
        return self.picked(sorted([best, *self._draw(seed).sample(others, size - 1)]))

    def best_first(self) -> tuple[int, ...]:
        """Positions, best first: the order that is given, else by grade, equal ones as they are shown.

        Raises:
            InputError: there is neither an order nor a grade for every passage.
        """
        if self.order:
            return self.order
        grades = self.grades
        if len(grades) < len(self.passages):
            raise InputError(f"{self.where}: give an 'order', or a 'relevance' for every passage")
        return tuple(sorted(grades, key=lambda i: (-grades[i], i)))

    def ranks(self) -> tuple[int, ...]:
        """Each passage's rank from 1. By an order all differ; by grades alone, equal ones are equal.

        Raises:
            InputError: as `best_first`.
        """
        best = self.best_first()
        if self.order:
            return tuple(best.index(i) + 1 for i in range(len(best)))
        grades = self.grades
        return tuple(1 + sum(other > grades[i] for other in grades.values()) for i in range(len(best)))

    def chosen(self) -> int:
        """The position of the one passage that is to be named.

        Raises:
            InputError: it is not known, several are as good, or another one is better.
        """
        grades = self.grades
        relevant = [i for i, grade in grades.items() if grade > 0]
        if self.gold is not None:
            if grades and grades.get(self.gold, 0.0) < max(grades.values()):
                raise InputError(f"{self.where}: the gold passage {self.gold} is not the most relevant one")
            return self.gold
        if len(relevant) == 1:
            return relevant[0]
        if relevant:
            raise InputError(
                f"{self.where}: one passage is to be named, but {len(relevant)} are relevant: give 'gold', "
                f"or leave the others out"
            )
        if self.order and not grades:
            return self.order[0]
        raise InputError(f"{self.where}: there is no 'gold', no order and no relevant passage to be named")

    def _draw(self, seed: int) -> random.Random:
        name = json.dumps([seed, self.query, [[p.id, p.title, p.text] for p in self.passages]])
        return seeded(name)
