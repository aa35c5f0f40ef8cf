"""Our setwise schedules and the released ones of ielab/llm-rankers, both with a perfect selector.

The heaps agree everywhere. The released bubble sort remembers where to start, and goes wrong by it.

Run by tests/compat/run_llm_rankers.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import pytest

FOLDER = os.environ.get("LLM_RANKERS", "")
if not FOLDER:
    pytest.skip(
        "needs a clone of ielab/llm-rankers: run tests/compat/run_llm_rankers", allow_module_level=True
    )
sys.path.insert(0, FOLDER)

from llmrankers.rankers import SearchResult  # noqa: E402
from llmrankers.setwise import SetwiseLlmRanker  # noqa: E402

from limrank_plugins.schedules import BubbleTopK, HeapTopK, Schedule  # noqa: E402
from limrank_plugins.verdicts import Choice  # noqa: E402

CASES = 3000


class Released(SetwiseLlmRanker):
    """The released class without its model: `compare` is the one method that asks it."""

    def __init__(self, method: str, children: int, top: int) -> None:
        self.method, self.num_child, self.k = method, children, top
        self.sizes: list[int] = []

    def compare(self, query: str, docs: list[SearchResult]) -> str:
        self.sizes.append(len(docs))
        if not docs:
            return self.CHARACTERS[0]
        return self.CHARACTERS[max(range(len(docs)), key=lambda i: docs[i].score)]


def released(worth: list[int], method: str, children: int, top: int) -> tuple[list[int], list[int]]:
    """The order of its result, and the sizes of the groups it asked about."""
    ranker = Released(method, children, top)
    ranking = [SearchResult(str(i), float(value), "") for i, value in enumerate(worth)]
    return [int(result.docid) for result in ranker.rerank("q", ranking)], ranker.sizes


def ours(worth: list[int], schedule: Schedule) -> tuple[list[int], list[int]]:
    """The same of our schedule."""
    plan: Any = schedule(len(worth))
    sizes: list[int] = []
    try:
        groups = next(plan)
        while True:
            sizes += map(len, groups)
            groups = plan.send(
                [Choice(max(range(len(g)), key=lambda i, g=g: worth[g[i]]), len(g)) for g in groups]
            )
    except StopIteration as finished:
        return finished.value, sizes


def cases() -> list[tuple[list[int], int, int]]:
    draw = random.Random(1)
    made = []
    for _ in range(CASES):
        worth = list(range(draw.randint(1, 30)))
        draw.shuffle(worth)
        made.append((worth, draw.randint(1, 6), draw.randint(1, 12)))
    return made


def best(worth: list[int], top: int) -> list[int]:
    return sorted(range(len(worth)), key=lambda i: -worth[i])[:top]


def test_the_heaps_agree_everywhere():
    asked, theirs = 0, 0
    for worth, children, top in cases():
        there, their_sizes = released(worth, "heapsort", children, top)
        here, sizes = ours(worth, HeapTopK(children, top))
        assert here[:top] == there[:top] == best(worth, top), (worth, children, top)
        assert here == there, "the rest keeps the first stage's order in both"
        asked, theirs = asked + len(sizes), theirs + len(their_sizes)
    print(f"groups asked about: {asked} here, {theirs} there")


def test_our_bubble_sort_is_right_where_the_released_one_is_not():
    wrong, empty, asked, theirs = 0, 0, 0, 0
    for worth, children, top in cases():
        there, their_sizes = released(worth, "bubblesort", children, top)
        here, sizes = ours(worth, BubbleTopK(children + 1, top))
        assert here[:top] == best(worth, top), (worth, children, top)
        assert min(sizes, default=2) >= 2
        wrong += there[:top] != best(worth, top)
        empty += their_sizes.count(0)
        asked, theirs = asked + len(sizes), theirs + len(their_sizes)
    print(f"released: {wrong} of {CASES} wrong, {empty} empty groups; groups: {asked} here, {theirs} there")
    assert wrong > 0
    assert empty > 0


def test_the_case_that_shows_it():
    worth = [10, 13, 9, 11, 6, 8, 5, 0, 7, 12, 4, 2, 3, 1]
    there, _ = released(worth, "bubblesort", children=4, top=7)
    here, _ = ours(worth, BubbleTopK(window=5, top=7))
    assert [worth[i] for i in there[:7]] == [13, 12, 11, 10, 9, 6, 5], "8 and 7 are passed over"
    assert [worth[i] for i in here[:7]] == [13, 12, 11, 10, 9, 8, 7]
