"""A small quiz over a small corpus and scripted readers, for the tests of `limrank_evals.questions`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from scripts import passages_of

from limrank_evals.answers import choice_letters
from limrank_evals.loaders.multiple_choice import MultipleChoice
from limrank_evals.questions import ChoiceReader
from limrank_plugins import Document, ScriptedBackend

CORPUS = [
    Document("Bread rises because yeast makes gas.", id="bread"),
    Document("Acid makes the casein of milk curdle.", id="acid"),
    Document("Tides follow the moon around the globe.", id="moon"),
    Document("Iron rusts in moist air.", id="rust"),
]
QUESTIONS = (
    MultipleChoice("q1", "What makes milk curdle?", ("yeast", "acid", "moon", "air"), "B", domain="food"),
    MultipleChoice("q2", "What makes bread rise?", ("yeast", "acid", "moon", "air"), "A", domain="food"),
    MultipleChoice("q3", "What do tides follow?", ("yeast", "acid", "moon", "air"), "C", domain="sky"),
)
GOLD = {"q1": "acid", "q2": "bread", "q3": "moon"}


def texts(wanted: Collection[str]) -> dict[str, Document]:
    """Documents by identifier."""
    return {document.id or "": document for document in CORPUS if document.id in wanted}


def option(prompt: str, words: str) -> str:
    """The letter before which these words stand as an option of the prompt."""
    found = re.search(rf"^\(([A-Z])\) {re.escape(words)}$", prompt, re.MULTILINE)
    assert found, (prompt, words)
    return found[1]


def knowing(prompt: Any) -> str:
    """Right exactly where the gold passage is before it, else the next option."""
    question = next(q for q in QUESTIONS if q.question in prompt.text)
    place = choice_letters(4).index(question.answer)
    gold = texts([GOLD[question.id]])[GOLD[question.id]].passage
    if gold not in passages_of(prompt):
        place = (place + 1) % 4
    return f"The answer is ({option(prompt.text, question.choices[place])})."


def reader(script: Callable[[Any], str] = knowing, **options: Any) -> ChoiceReader:
    """A reader that answers by a script."""
    return ChoiceReader(backend=ScriptedBackend(generate=script), **options)
