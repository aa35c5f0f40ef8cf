"""On CPU what is read is computed on its own, whatever else is asked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate, permutations
from typing import Any

import pytest
import tiny
from plain import LABELS, ask
from rounding import near

from limrank_plugins import Reranker
from limrank_plugins.backends.local import packed
from limrank_plugins.backends.local.prompt_batches import split
from limrank_plugins.backends.protocols import Likelihood, ReadLabels
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.prompts import load_template
from limrank_plugins.segments import Prompt, Segment

QUERIES = ["why does milk curdle in tea", "what makes bread rise slowly", "why do rivers carve valleys"]
# All of one length, several with one beginning, one with a space and one with nothing to share.
PASSAGES = [
    "acid milk tea",
    "acid milk gas",
    "iron milk gas",
    " milk in tea",
    "",
    "iron rusts in moist air " * 4,
]


@pytest.fixture(scope="module", params=["qwen2", "llama", "gemma2", "mistral"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformersBackend:
    return TransformersBackend(
        str(tiny.build(tmp_path_factory.mktemp("models") / request.param, request.param))
    )


def joint(query: str, passages: Sequence[str]) -> ReadLabels:
    """A prompt without anything shared: documents first, then the query."""
    segments = [Segment(text, False, cuttable=True) for text in passages]
    return ReadLabels(Prompt((*segments, Segment(f"\nQuery: {query}\n</think>"))), LABELS)


LABEL_REQUESTS = [ask(query, passage) for query in QUERIES for passage in PASSAGES]
JOINT_REQUESTS = [joint(query, PASSAGES[:3]) for query in QUERIES] + [
    joint(QUERIES[0], PASSAGES[i : i + 2]) for i in range(3)
]
TEXTS = [
    Likelihood(load_template("qlm").render("", [passage]), f" {query}")
    for query in QUERIES
    for passage in PASSAGES
]


def compared(query: str, first: str, second: str) -> ReadLabels:
    """Which of two passages is better."""
    segments = [
        Segment(f"Which answers the query better?\nQuery: {query}\nOne: ", shared=True),
        Segment(first, False, cuttable=True),
        Segment("\nTwo: "),
        Segment(second, False, cuttable=True),
        Segment("\n</think>"),
    ]
    return ReadLabels(Prompt(tuple(segments)), LABELS)


COMPARISONS = [compared(query, *pair) for query in QUERIES for pair in permutations(PASSAGES[1:], 2)]
KINDS = ["labels", "joint", "comparisons", "texts"]


def numbers(reply: Any) -> tuple[float, ...]:
    return reply.logits if hasattr(reply, "logits") else reply.values


class Given:
    """What a model computes: the tokens of every row, or of each tail in it, with what stands before them."""

    def __init__(self, backend: TransformersBackend) -> None:
        self._network = backend._model.held
        self.passes: set[tuple[int, tuple[int, ...]]] = set()

    def __enter__(self) -> Given:
        usual = self._network._forward

        def watched(rows: list[list[int]], past: Any, *rest: Any, **named: Any) -> Any:
            ends = list(accumulate(packed._lengths.get(())))
            tails = [rows[0][start:end] for start, end in zip([0, *ends], ends, strict=False)] or rows
            for tail in tails:
                self.passes.add((past.width if past is not None else 0, tuple(tail)))
            return usual(rows, past, *rest, **named)

        self._network._forward = watched
        return self

    def __exit__(self, *_: object) -> None:
        del self._network._forward


@pytest.mark.parametrize("asked", [LABEL_REQUESTS, JOINT_REQUESTS, COMPARISONS, TEXTS], ids=KINDS)
def test_a_request_alone_and_among_others(backend: TransformersBackend, asked: list[Any]) -> None:
    read = backend.likelihood if isinstance(asked[0], Likelihood) else backend.read_labels
    read(asked[:2])  # now it is loaded and has been asked what it can do
    with Given(backend) as apart:
        alone = [numbers(read([request])[0]) for request in asked]
    assert len(set(alone)) > len(asked) // 2, "the model tells them apart"
    for seed in range(3):
        order = random.Random(seed).sample(range(len(asked)), len(asked))
        with Given(backend) as given:
            together = [numbers(reply) for reply in read([asked[i] for i in order])]
        assert given.passes == apart.passes, "the same tokens behind the same tokens"
        assert together == [near(alone[i]) for i in order]


def test_many_queries_and_one_at_a_time_through_the_reranker(backend: TransformersBackend) -> None:
    for recipe in ("limrank", "qlm"):
        options = {"reasoning": "none"} if recipe == "limrank" else {}
        reranker = Reranker(recipe, backend=backend, **options)
        jobs = [(query, PASSAGES[i:]) for i, query in enumerate(QUERIES)] + [(QUERIES[0], PASSAGES[2:4])]
        for together, job in zip(reranker.rank_many(jobs), jobs, strict=True):
            alone = {hit.id: hit.score for hit in reranker.rank(*job)}
            assert {hit.id: hit.score for hit in together} == near(alone)


def test_a_prompt_is_split_where_it_says_itself() -> None:
    ids = list(range(20))
    groups = split([(10, ids, "a"), (10, [*ids[:12], 99], "b"), (25, ids, "c"), (7, ids, "d"), (0, ids, "e")])
    assert [(len(group.prefix), group.rows) for group in groups] == [
        (10, ["a", "b"]),
        (19, ["c"]),
        (0, ["d", "e"]),
    ]


def test_a_passage_that_begins_several_comparisons_is_read_once(backend: TransformersBackend) -> None:
    passages = [
        "acid turns milk in tea",
        "iron rusts in moist air, slowly",
        "yeast makes gas in warm dough, and bubbles stay",
    ]
    asked = [compared(QUERIES[0], *pair) for pair in permutations(passages, 2)]
    backend.read_labels(asked[:2])
    with Given(backend) as given:
        usages = [reply.usage for reply in backend.read_labels(asked)]
    computed = sum(usage.prompt_tokens - usage.shared_tokens for usage in usages)
    assert computed == sum(len(tokens) for _, tokens in given.passes)
    begun = [usage.shared_tokens for usage in usages]
    query_alone = min(shared for shared in begun if shared)
    assert sorted(map(begun.count, {0, query_alone})) == [1, 2], (
        "one passage is paid with the query, two alone"
    )
    assert all(shared > query_alone + 3 for shared in begun if shared not in (0, query_alone))
