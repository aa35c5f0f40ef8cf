"""The passages of one query as a group: how they are shown, what their gold order is, and why."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.readouts import Settings
from limrank_plugins.recipes import load_recipe
from limrank_plugins.segments import Prompt
from limrank_synth.records import DIRECT, INTENTS, LabelledPassage

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")


def grade(row: LabelledPassage) -> int:
    """How relevant a row's passage is: 2 if it answers directly, 1 if it helps, 0 if it does not.

    The judge's verdict decides between 0 and more; what the passage was written to be, between 2 and 1.
    A relevant row of which that is not known (Rank1's) has 1, as MS MARCO's judgements do.
    """
    if not row.relevant:
        return 0
    return 2 if row.intent == DIRECT.name else 1


def meant(row: LabelledPassage) -> int:
    """The same by what the passage was written to be alone; the label where that is not known."""
    intent = INTENTS.get(row.intent)
    if intent is None:
        return int(row.relevant)
    if not intent.relevant:
        return 0
    return 2 if intent.name == DIRECT.name else 1


def shown(rows: Sequence[LabelledPassage], seed: int, size: int) -> list[LabelledPassage]:
    """So many of a query's rows at most, in the order in which a model is to see them.

    Both the choice and the order are drawn by the rows' ids and the seed. Of a query with more rows,
    at most half of the places go to relevant passages while there are others to fill the rest.
    """
    drawn = sorted(rows, key=lambda row: _lot(seed, row.id))
    if len(drawn) > size:
        good = [row for row in drawn if grade(row) > 0]
        bad = [row for row in drawn if grade(row) == 0]
        few = max(size // 2, size - len(bad))
        kept = {row.id for row in [*good[:few], *bad[: size - len(good[:few])]]}
        drawn = [row for row in drawn if row.id in kept]
    return drawn


def gold_order(rows: Sequence[LabelledPassage]) -> list[int]:
    """Positions, best first: direct answers, then what helps, then the rest.

    Equal ones in the order of the judge's agreement, then as they are shown.
    """
    return sorted(range(len(rows)), key=lambda i: (-meant(rows[i]), -_support(rows[i]), i))


def conclusion(trace: str, words: int) -> str:
    """The end of a trace, whole sentences where they fit: what it comes to stands there."""
    kept: list[str] = []
    left = words
    for sentence in reversed(_SENTENCE_END.split(" ".join(trace.split()))):
        size = len(sentence.split())
        if size > left:
            break
        kept.append(sentence)
        left -= size
    if not kept:
        return " ".join(trace.split()[-words:])
    return " ".join(reversed(kept))


def group_prompt(recipe: str, rows: Sequence[LabelledPassage]) -> Prompt:
    """What a recipe's model reads about these passages, in this order: its readout's own first question.

    Raises:
        InputError: the recipe asks nothing about groups.
    """
    chosen = load_recipe(recipe)
    template = chosen.load_template()
    if chosen.readout is None or template is None:
        raise InputError(f"recipe {recipe!r} has no prompt of its own")
    documents = [Document(row.passage, id=row.id) for row in rows]
    settings = Settings(reasoning="full")
    (asked,) = next(chosen.readout.ask(Query(rows[0].query), documents, template, settings))
    prompt = getattr(asked, "prompt", None)
    if not isinstance(prompt, Prompt):
        raise InputError(f"recipe {recipe!r} has no prompt about a group")
    return prompt


def chat(prompt: Prompt) -> list[dict[str, str]]:
    """A chat prompt as messages, which the model's own chat template makes into text."""
    return [
        {"role": role, "content": "".join(segment.text for segment in segments)}
        for role, segments in prompt.messages()
    ]


def _support(row: LabelledPassage) -> float:
    return sum(row.votes) / len(row.votes) if row.votes else float(row.relevant)


def _lot(seed: int, identifier: str) -> bytes:
    return hashlib.sha256(json.dumps([seed, identifier]).encode("ascii")).digest()
