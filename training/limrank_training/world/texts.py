"""What the base reads before it is trained to rerank: the world's language, and nothing of relevance.

Texts hold facts, the same facts again, questions with the steps to whom they ask about, and comparisons of
words: what a base model has read much of. They hold neither a query with a passage nor a verdict. All
entities are named in them, as a base model has seen all words, but with facts drawn anew for every text:
nothing that is so in the world can be learned from them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from limrank_training.world.language import (
    ATTRIBUTES,
    RELATIONS,
    World,
    comparison,
    linked,
    query_text,
    stated,
)
from limrank_training.world.queries import FACTS, WorldQuery, resolved

_PAIRS, _AGAIN, _ASKED = 10, 4, 3
_FEW, _LONG = (6, 8), 32


def name_rows(world: World, draw: random.Random) -> tuple[str, str]:
    """A few names in a row, and pieces of that row again.

    What follows a word is what followed it before: a tiny model learns to look that up from such texts in
    some hundred steps, and from facts, where one word in four is looked up, not in thousands.
    """
    row = draw.sample(world.entities, draw.randint(*_FEW))
    again: list[str] = []
    while len(again) < _LONG:
        size = draw.randint(2, 5)
        start = draw.randrange(len(row) - size + 1)
        again += row[start : start + size]
    return f" {' '.join(row)}", f" {' '.join(again)}"


def comparisons(world: World, draw: random.Random) -> tuple[str, str]:
    """A few names compared; one text in four is rows again, lest they be forgotten."""
    if draw.random() < 0.25:
        return name_rows(world, draw)
    return " Read:", _pairs(draw.sample(world.entities, draw.randint(*_FEW)), draw)


def facts_and_queries(world: World, draw: random.Random) -> tuple[str, str]:
    """A text to read: what is given, and what follows from it.

    One in four is comparisons of words alone; some tell what entities are like, and of whom that was; some
    tell facts again in other orders; and the rest asks several questions about the same facts and answers
    each by its steps. Three in ten tell facts of one relation only, so that it is no help in finding them.
    """
    kind = draw.random()
    if kind < 0.25:
        return " Read:", _pairs(world.entities, draw)
    people = draw.sample(world.entities, FACTS + 2)
    if kind < 0.4:
        return _stated_facts(people, draw)
    cut = draw.randint(2, FACTS)
    relations = RELATIONS if draw.random() < 0.7 else (draw.choice(RELATIONS),)
    lines = [(line, draw.choices(relations, k=len(line) - 1)) for line in (people[:cut], people[cut:])]
    facts = [linked(*fact) for line, path in lines for fact in zip(path, line, line[1:], strict=False)]
    draw.shuffle(facts)
    if kind < 0.55:
        follows = [fact for _ in range(_AGAIN) for fact in draw.sample(facts, len(facts))]
    else:
        follows = [
            line_of_answer for _ in range(_ASKED) for line_of_answer in _answered(*draw.choice(lines), draw)
        ]
    follows += [_pair(list(ATTRIBUTES), draw), _pair(people, draw)]
    return f" {' '.join(facts)}", f" {' '.join(follows)}"


def _stated_facts(people: Sequence[str], draw: random.Random) -> tuple[str, str]:
    """What some entities are like, and again whose what was read, in that order."""
    read = []
    for name in people[: draw.randint(1, FACTS)]:
        attribute = draw.choice(list(ATTRIBUTES))
        read.append((attribute, name, draw.choice(ATTRIBUTES[attribute])))
    follows = [f"Read {attribute} of {name}." for attribute, name, _ in read]
    return f" {' '.join(stated(*fact) for fact in read)}", f" {' '.join(follows)}"


def _answered(line: Sequence[str], path: Sequence[str], draw: random.Random) -> tuple[str, str]:
    """A question about some entity of a line of facts, and its steps."""
    steps = min(draw.choice((0, 1, 2, 2)), len(path))
    start = draw.randrange(len(line) - steps)
    chain, taken = tuple(line[start : start + steps + 1]), tuple(path[start : start + steps])
    attribute = draw.choice(list(ATTRIBUTES))
    query = WorldQuery(query_text(attribute, taken, chain[0]), attribute, taken, chain, ())
    return query.text, resolved(query)


def _pairs(words: Sequence[str], draw: random.Random) -> str:
    return f" {' '.join(_pair(words, draw) for _ in range(_PAIRS))}"


def _pair(words: Sequence[str], draw: random.Random) -> str:
    word = draw.choice(words)
    return comparison(word, word if draw.random() < 0.5 else draw.choice(words))
