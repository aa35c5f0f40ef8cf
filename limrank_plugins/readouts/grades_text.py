"""From a completion to the grades of a group's documents. Pure, total: any text gives a valid result."""

from __future__ import annotations

import re
from typing import NamedTuple

from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.order_text import bracketed
from limrank_plugins.readouts.parsing import answer_in, split_reasoning

# `"[3]": 7`, and what models write for it: `[3] = 7`, `"3": 7.5`, `[3]: "7"`, `[3]: 7/10`.
_PAIR = re.compile(
    r"(?:\[\s{0,3}(?P<label>[0-9]{1,6})\s{0,3}\]{1,2}[\"']?|[\"'](?P<bare>[0-9]{1,6})[\"'])"
    r"\s{0,5}[:=]\s{0,5}[\"']?(?P<grade>-?[0-9]{1,6}(?:\.[0-9]{1,6})?)(?![0-9A-Za-z%]|\.[0-9])"
)
_OBJECT = re.compile(r"\{[^{}]*\}")


class GradesReading(NamedTuple):
    """The grades as they were read.

    Attributes:
        grades: one for each document, in the order they were shown in; None where there is none.
        repaired: whether the text was anything but one grade for each document, where it is expected.
    """

    grades: tuple[float | None, ...]
    repaired: bool


def parse_grades(text: str, size: int, most: float) -> GradesReading:
    """The grade that a text gives each document, as in `<answer>{"[1]": 7, "[2]": 3}</answer>`.

    Without an `<answer>` only a text behind closed reasoning is read, or the last object in braces: reasoning
    speaks of grades, too. A document with two different grades, or with one out of bounds, has none.

    Args:
        text: the whole completion.
        size: how many documents were shown, called [1], [2], …
        most: the highest grade; the lowest is 0.
    """
    reasoning, rest = split_reasoning(text)
    answer = answer_in(rest)
    body = answer
    if body is None:
        objects = _OBJECT.findall(rest)
        body = objects[-1] if objects else rest if reasoning is not None else ""
    found: dict[int, set[float]] = {}
    pairs = list(_PAIR.finditer(bracketed(body, NUMERIC)))
    for pair in pairs:
        found.setdefault(int(pair["label"] or pair["bare"]) - 1, set()).add(float(pair["grade"]))
    grades = [next(iter(found[i])) if len(found.get(i, ())) == 1 else None for i in range(size)]
    within = tuple(grade if grade is not None and 0 <= grade <= most else None for grade in grades)
    exact = answer is not None and len(pairs) == size and None not in within
    return GradesReading(within, repaired=not exact)
