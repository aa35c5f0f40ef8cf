"""The model grades every document of a group, which it reads together (GroupRank, arXiv 2511.11653)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Generates, Program
from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.completions import complete
from limrank_plugins.readouts.grades_text import parse_grades
from limrank_plugins.readouts.group_prompts import cut_tokens, group_prompt, shown_orders
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.usable import nothing_usable
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class GenerateGrades:
    """Reads a grade for each document from what the model writes: `{"[1]": 7, "[2]": 3}`.

    With `samples=m` the group is shown in m seeded permutations, and a document's score is the mean of the
    grades that it got. A document without any fails, with the others or alone; where others of its samples
    could be read, that is a repair. Grades lean on the documents beside them, so they are not comparable.

    Attributes:
        scale: the highest grade; the lowest is 0.
    """

    scale: int = 10
    comparable: bool = False
    permutes: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Text."""
        return (Generates,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Grade the group; see `Readout.ask`."""
        if template is None:
            raise InputError("a readout of grades needs a template")
        size = len(documents)
        orders = shown_orders(documents, settings)
        prompts = [
            group_prompt(query, [documents[i] for i in order], template, settings, NUMERIC, scale=self.scale)
            for order in orders
        ]
        # A label of two digits, its grade, and what stands around them are ten tokens at most.
        completions = yield from complete(prompts, template, settings, answer_tokens=10 * size + 32)
        grades: list[list[float]] = [[] for _ in documents]
        failures: list[str] = []
        repairs = 0
        for order, completion in zip(orders, completions, strict=True):
            reading = parse_grades(completion.text, size, self.scale)
            if completion.failure is not None or reading.grades.count(None) == size:
                failures.append(completion.failure or self._nothing(completion.text))
                continue
            repairs += reading.repaired
            for position, grade in zip(order, reading.grades, strict=True):
                if grade is not None:
                    grades[position].append(grade)
        cut = cut_tokens(orders, prompts, [completion.cut_tokens for completion in completions])
        none = failures[0] if len(failures) == len(orders) else f"{self._none} for this document"
        usage = Usage.total(completion.usage for completion in completions)
        reasoning = next((c.reasoning for c in completions if c.failure is None), completions[0].reasoning)
        return Scores(
            tuple(
                Verdict(
                    math.fsum(given) / len(given) if given else None,
                    explanation=reasoning,
                    failure=None if given else none,
                    cut_tokens=cut[i] if cut else 0,
                    # What concerns the group is noted on its first document.
                    repairs=repairs + (len(failures) if len(failures) < len(orders) else 0) if i == 0 else 0,
                    usage=usage if i == 0 else Usage(),
                )
                for i, given in enumerate(grades)
            )
        )

    @property
    def _none(self) -> str:
        return f"the model wrote no score from 0 to {self.scale}"

    def _nothing(self, text: str) -> str:
        nothing = nothing_usable(text)
        return nothing.reason if nothing is not None else f"{self._none} for any document"
