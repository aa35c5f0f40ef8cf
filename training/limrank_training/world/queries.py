"""Queries that need 0, 1 or 2 steps, passages that answer them or nearly do, and traces of the steps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from limrank_plugins.errors import InputError
from limrank_training.world.language import (
    ATTRIBUTES,
    RELATIONS,
    World,
    comparison,
    linked,
    query_text,
    stated,
)

Kind = Literal["relevant", "other attribute", "other entity", "broken chain", "random"]
"""What a passage is to a query: of the same entity another attribute; of another entity the same
attribute; the same attribute of an entity that a step too few or a wrong step leads to; neither."""
FACTS = 4
"""Told in a query."""
HARD: tuple[Kind, ...] = ("other attribute", "other entity", "broken chain")


@dataclass(frozen=True, slots=True)
class WorldPassage:
    """A passage and what it is to a query.

    Attributes:
        entity, attribute: what it tells of.
        text: as a model reads it.
        kind: see `Kind`.
    """

    entity: str
    attribute: str
    text: str
    kind: Kind

    @property
    def relevant(self) -> bool:
        """Whether it answers the query."""
        return self.kind == "relevant"


@dataclass(frozen=True, slots=True)
class WorldQuery:
    """A query and whom it is about.

    Attributes:
        text: the facts that are known, then the question.
        attribute: what is asked for.
        path: the relations from the first entity named to the one asked about.
        chain: the entities they lead through, both ends included.
        beside: the other entities that are named.
    """

    text: str
    attribute: str
    path: tuple[str, ...]
    chain: tuple[str, ...]
    beside: tuple[str, ...]

    @property
    def steps(self) -> int:
        """How many facts must be joined to know who is asked about."""
        return len(self.path)

    @property
    def target(self) -> str:
        """Who is asked about."""
        return self.chain[-1]


def make_query(world: World, draw: random.Random, steps: int, held_out: bool = False) -> WorldQuery:
    """A question about entities of one side of the split.

    The query tells `FACTS` facts in any order, whatever it asks: those that are needed, one that leads a step
    too far, and a second line of facts, of the same relations where there are some, about other entities. Of
    no entity two facts are told, so one is found by whom it is about; what must be joined are facts.

    Args:
        world: see there.
        draw: decides everything.
        steps: 0, 1 or 2.
        held_out: ask about held-out entities.

    Raises:
        InputError: another number of steps.
    """
    if steps not in (0, 1, 2):
        raise InputError(f"a question needs 0, 1 or 2 steps, but got {steps!r}")
    side = world.side(held_out)
    path = tuple(draw.choice(RELATIONS) for _ in range(steps))
    too_far = draw.choice(RELATIONS)
    others = [*path, *draw.choices(RELATIONS, k=FACTS)][: FACTS - steps - 1]
    while True:
        chain = _line(world, draw.choice(side), (*path, too_far))
        second = _line(world, draw.choice(side), others)
        if len({*chain, *second}) == len(chain) + len(second):
            break
    facts = [
        *zip((*path, too_far), chain, chain[1:], strict=False),
        *zip(others, second, second[1:], strict=False),
    ]
    draw.shuffle(facts)
    attribute = draw.choice(list(ATTRIBUTES))
    text = " ".join([*(linked(*fact) for fact in facts), query_text(attribute, path, chain[0])])
    return WorldQuery(text, attribute, path, chain[:-1], (chain[-1], *second))


def trace(query: WorldQuery, passage: WorldPassage) -> str:
    """The facts that lead to the entity, what is needed, what is read, and how both compare."""
    return " ".join([resolved(query), weighed(query, passage)])


def resolved(query: WorldQuery) -> str:
    """From the question to what is needed."""
    steps = [linked(*link) for link in zip(query.path, query.chain, query.chain[1:], strict=False)]
    return " ".join(["Steps:", *steps, f"Need {query.attribute} of {query.target}."])


def weighed(query: WorldQuery, passage: WorldPassage) -> str:
    """From what is needed to whether the passage has it: up to the first difference."""
    lines = [f"Read {passage.attribute} of {passage.entity}.", comparison(query.attribute, passage.attribute)]
    if query.attribute == passage.attribute:
        lines.append(comparison(query.target, passage.entity))
    return " ".join(lines)


def relevant_passage(world: World, query: WorldQuery) -> WorldPassage:
    """The one passage that answers the question."""
    return _passage(world, query.target, query.attribute, "relevant")


def negatives(
    world: World, query: WorldQuery, draw: random.Random, kinds: Sequence[Kind], count: int
) -> list[WorldPassage]:
    """Different passages of these kinds that do not answer the question, the kinds in turn.

    Args:
        world: see there.
        query: see there.
        draw: decides which.
        kinds: what they are to the question; one of which there is no more is passed over.
        count: how many.

    Raises:
        InputError: there are not so many.
    """
    target, wanted = query.target, query.attribute
    side = world.side(target in world.held_out)
    near = [*query.chain[:-1], *query.beside]
    far = [name for name in side if name not in (*query.chain, *query.beside)]
    others = [attribute for attribute in ATTRIBUTES if attribute != wanted]
    pools: dict[Kind, list[tuple[str, str]]] = {
        "other attribute": [(target, attribute) for attribute in others],
        "other entity": [(name, wanted) for name in far],
        "broken chain": [(name, wanted) for name in near],
        "random": [(name, attribute) for name in far for attribute in others],
    }
    for pool in pools.values():
        draw.shuffle(pool)
    passages: list[WorldPassage] = []
    turn = 0
    while len(passages) < count:
        left = [kind for kind in kinds if pools.get(kind)]
        if not left:
            raise InputError(f"there are only {len(passages)} passages of the kinds {', '.join(kinds)}")
        kind = kinds[turn % len(kinds)]
        turn += 1
        if pools[kind]:
            passages.append(_passage(world, *pools[kind].pop(), kind))
    return passages


def _line(world: World, start: str, relations: Sequence[str]) -> tuple[str, ...]:
    """The entities that the relations lead through."""
    line = [start]
    for relation in relations:
        line.append(world.related[line[-1], relation])
    return tuple(line)


def _passage(world: World, name: str, attribute: str, kind: Kind) -> WorldPassage:
    return WorldPassage(name, attribute, stated(attribute, name, world.values[name, attribute]), kind)
