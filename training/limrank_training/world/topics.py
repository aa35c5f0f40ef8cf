"""The world as training reads it: judged passages, groups of them, with label noise or a curated few."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from limrank_plugins.outputs import write_whole
from limrank_training.world.language import World
from limrank_training.world.queries import (
    HARD,
    Kind,
    WorldPassage,
    WorldQuery,
    make_query,
    negatives,
    relevant_passage,
    trace,
)

SHARES = {0: 0.3, 1: 0.35, 2: 0.35}
"""Of the queries, by the steps they need."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A query with its judged passages, the relevant one anywhere among them."""

    query: WorldQuery
    passages: tuple[WorldPassage, ...]


@dataclass(frozen=True, slots=True)
class WorldRow:
    """A judged passage as a file of rows has it.

    Attributes:
        topic: its query and the passages beside it.
        passage: see there.
        relevant: what the row says, which noise may have turned round.
        trace: what the row says leads there.
    """

    topic: Topic
    passage: WorldPassage
    relevant: bool
    trace: str

    @property
    def clean(self) -> bool:
        """Whether it says what is so."""
        return self.relevant == self.passage.relevant


def make_topics(
    world: World,
    draw: random.Random,
    count: int,
    *,
    held_out: bool = False,
    kinds: Sequence[Kind] = HARD,
    size: int = 3,
) -> list[Topic]:
    """Queries in the shares of `SHARES`, exact up to rounding, each with one relevant passage.

    Args:
        world: see there.
        draw: decides everything.
        count: how many.
        held_out: about held-out entities.
        kinds: of the negatives; they begin with another kind at each query, and where they run out random
            ones fill up.
        size: passages of a query.
    """
    steps = [step for step, share in SHARES.items() for _ in range(round(share * count))]
    steps = (steps + [max(SHARES)] * count)[:count]
    draw.shuffle(steps)
    topics = []
    for number, needed in enumerate(steps):
        query = make_query(world, draw, needed, held_out)
        turned = [*kinds[number % len(kinds) :], *kinds[: number % len(kinds)]]
        wrong = negatives(world, query, draw, [*turned, "random"] if size > 8 else turned, size - 1)
        passages = [relevant_passage(world, query), *wrong]
        draw.shuffle(passages)
        topics.append(Topic(query, tuple(passages)))
    return topics


def rows_of(topics: Iterable[Topic], draw: random.Random, noise: float = 0.0) -> list[WorldRow]:
    """Each passage of each topic on its own.

    Args:
        topics: see there.
        draw: decides which rows are wrong.
        noise: the share of rows that say the opposite of what is so, their traces with them, as a teacher
            model errs.
    """
    rows = []
    for topic in topics:
        for passage in topic.passages:
            wrong = draw.random() < noise
            reasoning = trace(topic.query, passage)
            relevant = passage.relevant
            if wrong:
                reasoning = (
                    reasoning.replace(": different.", ": same.") if not relevant else _doubted(reasoning)
                )
                relevant = not relevant
            rows.append(WorldRow(topic, passage, relevant, reasoning))
    return rows


def curated(rows: Sequence[WorldRow], share: float) -> list[WorldRow]:
    """A checked few: right ones only, as many relevant as not, all numbers of steps and kinds in turn."""
    piles: dict[tuple[bool, int, Kind], list[WorldRow]] = {}
    for row in rows:
        if row.clean:
            key = (row.relevant, row.topic.query.steps, row.passage.kind)
            piles.setdefault(key, []).append(row)
    sides = [
        _in_turn([pile for key, pile in sorted(piles.items()) if key[0] is side]) for side in (True, False)
    ]
    return _in_turn(sides)[: max(2, round(share * len(rows)))]


def write_rows(rows: Iterable[WorldRow], path: Path) -> Path:
    """A file as `read_passage_rows` reads it."""
    return _written(
        path,
        (
            {
                "query": row.topic.query.text,
                "passage": row.passage.text,
                "trace": row.trace,
                "relevant": row.relevant,
                "kind": row.passage.kind,
                "meta": {"steps": row.topic.query.steps},
            }
            for row in rows
        ),
    )


def write_groups(topics: Iterable[Topic], path: Path) -> Path:
    """The same passages side by side, as `read_groups` reads them, setwise and listwise."""
    return _written(
        path,
        (
            {
                "query": topic.query.text,
                "passages": [
                    {"id": str(i), "text": passage.text, "relevance": int(passage.relevant)}
                    for i, passage in enumerate(topic.passages)
                ],
                "meta": {"steps": topic.query.steps},
            }
            for topic in topics
        ),
    )


def _doubted(reasoning: str) -> str:
    """The trace with its last comparison turned round."""
    head, _, _ = reasoning.rpartition(": same.")
    return f"{head}: different."


def _in_turn(piles: Sequence[Sequence[WorldRow]]) -> list[WorldRow]:
    return [row for turn in zip_longest(*piles) for row in turn if row is not None]


def _written(path: Path, objects: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(json.dumps(record) + "\n" for record in objects).encode("ascii"))
    return path
