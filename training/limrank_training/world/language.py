"""The world: entities with attributes, relations between them, and the few words that tell of both."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.errors import InputError

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": ("red", "blue", "green", "white"),
    "size": ("tiny", "small", "large", "huge"),
    "food": ("bread", "rice", "fruit", "fish"),
    "craft": ("glass", "wool", "iron", "clay"),
    "season": ("spring", "summer", "autumn", "winter"),
}
RELATIONS = ("friend", "leader", "guide", "rival")
WORDS = ("of", "is", "Tell", "Steps", "Need", "Read", "against", "same", "different", "The")
MARKS = (".", ":", "?")
_FIRST = ("ba", "do", "fe", "gi", "ku", "la", "mo", "ne", "pi", "ru", "sa", "tu", "vo", "ze")
_SECOND = ("b", "d", "k", "l", "m", "n", "r", "s", "t", "x")


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is so.

    Attributes:
        entities: names, in no order.
        held_out: those among them that no training row may show.
        values: of each entity and attribute.
        related: of each entity and relation, another entity of the same side of the split.
    """

    entities: tuple[str, ...]
    held_out: frozenset[str]
    values: dict[tuple[str, str], str]
    related: dict[tuple[str, str], str]

    def side(self, held_out: bool) -> list[str]:
        """The entities that are held out, or the others."""
        return [name for name in self.entities if (name in self.held_out) == held_out]


def make_world(seed: int, entities: int = 120, held_out: int = 40) -> World:
    """A world that depends on these numbers alone.

    Args:
        seed: of names' roles, values and relations.
        entities: how many, at most 140.
        held_out: how many of them are kept out of training, at least 8; as many must be left.

    Raises:
        InputError: numbers that make no world.
    """
    words = [first + last + "o" for first in _FIRST for last in _SECOND]
    if not 16 <= entities <= len(words):
        raise InputError(f"entities must be 16 to {len(words)}, but is {entities!r}")
    if not 8 <= held_out <= entities - 8:
        raise InputError(f"held_out must be 8 to {entities - 8}, but is {held_out!r}")
    draw = random.Random(f"world {seed}")
    chosen = draw.sample(words, entities)
    return imagined(chosen, chosen[:held_out], draw)


def imagined(chosen: Sequence[str], held_out: Sequence[str], draw: random.Random) -> World:
    """A world of these entities, facts drawn.

    Args:
        chosen: names; on either side of the split more than there are relations, or none.
        held_out: those of them that are.
        draw: decides the facts.
    """
    kept = frozenset(held_out)
    values = {(name, a): draw.choice(options) for name in chosen for a, options in ATTRIBUTES.items()}
    sides = {side: [name for name in chosen if (name in kept) == side] for side in (False, True)}
    related = {}
    for name in chosen:
        others = [other for other in sides[name in kept] if other != name]
        # One entity is never related to another in two ways: a query would have two right answers.
        for relation, other in zip(RELATIONS, draw.sample(others, len(RELATIONS)), strict=True):
            related[name, relation] = other
    return World(tuple(chosen), kept, values, related)


def names(world: World) -> list[str]:
    """Every word of the language, in a fixed order."""
    values = [value for options in ATTRIBUTES.values() for value in options]
    return [*WORDS, *ATTRIBUTES, *RELATIONS, *values, *sorted(world.entities)]


def stated(attribute: str, name: str, value: str) -> str:
    """A fact about one entity."""
    return f"{attribute} of {name} is {value}."


def linked(relation: str, name: str, other: str) -> str:
    """A fact about two."""
    return f"{relation} {name} {other}."


def query_text(attribute: str, path: Sequence[str], start: str) -> str:
    """A question: the attribute of whom the relations lead to from an entity, first step first."""
    return f"Tell {' '.join([attribute, 'of', start, *path])}?"


def comparison(word: str, other: str) -> str:
    """Whether two words are the same one."""
    return f"{word} against {other}: {'same' if word == other else 'different'}."
