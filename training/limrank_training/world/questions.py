"""Queries that need 0, 1 or 2 steps, passages that answer them or nearly do, and traces of the steps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from limrank_plugins.errors import InputError
from limrank_training.world.language import ATTRIBUTES, RELATIONS, World, asked, compared, linked, stated

Kind = Literal["relevant", "other attribute", "other entity", "broken chain", "random"]
"""What a passage is to a query: of the same entity another attribute; of another entity the same
attribute; the same attribute of an entity that a step too few or a wrong step leads to; neither."""
_BESIDE = 2
HARD: tuple[Kind, ...] = ("other attribute", "other entity", "broken chain")


@dataclass(frozen=True, slots=True)
class Judged:
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
class Question:
    """A query and whom it is about.

    Attributes:
        text: the facts that are known, then the question.
        attribute: what is asked for.
        path: the relations from the first entity named to the one asked about.
        chain: the entities they lead through, both ends included.
        beside: entities that other facts of the query lead to.
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


def make_question(world: World, draw: random.Random, steps: int, held_out: bool = False) -> Question:
    """A question about entities of one side of the split.

    The facts of the query are those that are needed and two that lead elsewhere, in any order: the last
    step taken from the first entity, and another step from the last entity but one.

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
    while True:
        start = draw.choice(side)
        path = tuple(draw.choice(RELATIONS) for _ in range(steps))
        chain = [start]
        for relation in path:
            chain.append(world.related[chain[-1], relation])
        if len(set(chain)) < len(chain):
            continue
        needed = list(zip(chain, path, strict=False))
        before = chain[-2] if steps else start
        wrong = [(start, path[-1])] if steps == 2 else []
        wrong += [(before, relation) for relation in draw.sample(RELATIONS, len(RELATIONS))]
        wrong = [fact for fact in wrong if fact not in needed][:_BESIDE]
        beside = tuple(world.related[fact] for fact in wrong)
        if not set(beside) & set(chain):
            break
    facts = [*needed, *wrong]
    draw.shuffle(facts)
    attribute = draw.choice(list(ATTRIBUTES))
    known = [linked(name, relation, world.related[name, relation]) for name, relation in facts]
    text = " ".join([*known, asked(attribute, path, start)])
    return Question(text, attribute, path, tuple(chain), beside)


def trace(question: Question, passage: Judged) -> str:
    """The facts that lead to the entity, what is needed, what is read, and the comparison of both."""
    return " ".join([resolved(question), weighed(question, passage)])


def resolved(question: Question) -> str:
    """From the question to what is needed."""
    links = zip(question.chain, question.path, question.chain[1:], strict=False)
    steps = [linked(name, relation, other) for name, relation, other in links]
    return " ".join(["Steps:", *steps, f"Need {question.attribute} of {question.target}."])


def weighed(question: Question, passage: Judged) -> str:
    """From what is needed to whether the passage has it."""
    read = f"Read {passage.attribute} of {passage.entity}."
    return " ".join(
        [
            read,
            compared(question.attribute, passage.attribute),
            compared(question.target, passage.entity),
        ]
    )


def relevant_passage(world: World, question: Question) -> Judged:
    """The one passage that answers the question."""
    return _judged(world, question.target, question.attribute, "relevant")


def negatives(
    world: World, question: Question, draw: random.Random, kinds: Sequence[Kind], count: int
) -> list[Judged]:
    """Different passages of these kinds that do not answer the question, the kinds in turn.

    Args:
        world: see there.
        question: see there.
        draw: decides which.
        kinds: what they are to the question; one of which there is no more is passed over.
        count: how many.

    Raises:
        InputError: there are not so many.
    """
    target, wanted = question.target, question.attribute
    side = world.side(target in world.held_out)
    near = [*question.chain[:-1], *question.beside]
    far = [name for name in side if name not in (*question.chain, *question.beside)]
    others = [attribute for attribute in ATTRIBUTES if attribute != wanted]
    pools: dict[Kind, list[tuple[str, str]]] = {
        "other attribute": [(target, attribute) for attribute in others],
        "other entity": [(name, wanted) for name in far],
        "broken chain": [(name, wanted) for name in near],
        "random": [(name, attribute) for name in far for attribute in others],
    }
    for pool in pools.values():
        draw.shuffle(pool)
    found: list[Judged] = []
    turn = 0
    while len(found) < count:
        left = [kind for kind in kinds if pools.get(kind)]
        if not left:
            raise InputError(f"there are only {len(found)} passages of the kinds {', '.join(kinds)}")
        kind = kinds[turn % len(kinds)]
        turn += 1
        if pools[kind]:
            found.append(_judged(world, *pools[kind].pop(), kind))
    return found


def _judged(world: World, name: str, attribute: str, kind: Kind) -> Judged:
    return Judged(name, attribute, stated(attribute, name, world.values[name, attribute]), kind)
