"""Rank-R1's choice as its authors' code reads it (ielab/llm-rankers), for reproducing its tables."""

from __future__ import annotations

import re

from limrank_plugins.readouts.labels import Labels
from limrank_plugins.readouts.parsing import ChoiceReading

_ANSWER = re.compile(r"<think>.*?</think>\s*<answer>(.*?)</answer>", re.DOTALL)


def released_choice(text: str, labels: Labels, size: int) -> ChoiceReading:
    """The first answer that stands right behind reasoning; anything but one label in it is no choice.

    Without reasoning before it, or where the answer is not closed, there is none. Ours reads the last answer:
    a model that corrects itself means that one.
    """
    found = _ANSWER.search(text.lower())
    shown = [label.lower() for label in labels.shown(size)]
    body = found[1].strip() if found is not None else ""
    return ChoiceReading(shown.index(body) if body in shown else None, repaired=body not in shown)
