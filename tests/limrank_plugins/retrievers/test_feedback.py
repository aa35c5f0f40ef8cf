"""Relevance feedback: the loss as written in the paper, and documents that only a moved query finds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins import Document, Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.data import Ranking
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers.dense import DenseRetriever
from limrank_plugins.retrievers.feedback import refined_query, search_again, weighted_ranknet

lists_of_scores = st.lists(st.floats(-30, 30), min_size=2, max_size=9)


def by_loops(scores: Sequence[float]) -> float:
    """Weighted RankNet of scores in the true order, as a double loop."""
    losses = [
        math.log(1 + math.exp(scores[j] - scores[i])) / ((i + 1) + (j + 1))
        for i in range(len(scores))
        for j in range(len(scores))
        if i < j
    ]
    return sum(losses) / len(losses)


def ranknet_slope(scores: np.ndarray) -> np.ndarray:
    """Its derivative by each score, worked out by hand."""
    slope, pairs = np.zeros(len(scores)), len(scores) * (len(scores) - 1) / 2
    for i in range(len(scores)):
        for j in range(i + 1, len(scores)):
            push = 1 / (1 + math.exp(scores[i] - scores[j])) / (i + j + 2) / pairs
            slope[i] -= push
            slope[j] += push
    return slope


def kl_slope(teacher: np.ndarray) -> object:
    def softmax(values: np.ndarray) -> np.ndarray:
        powers = np.exp(values - values.max())
        return powers / powers.sum()

    return lambda scores: softmax(scores) - softmax(teacher)


def adam(start: np.ndarray, rows: np.ndarray, scale: float, slope: object, steps: int, rate: float):
    """Kingma and Ba's algorithm 1 with their defaults."""
    query, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t in range(1, steps + 1):
        gradient = scale * slope(scale * rows @ query) @ rows
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        query = query - rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return query


def collection(seed: int = 0, count: int = 12, dimensions: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A query and passages, all of length 1."""
    rows = np.random.default_rng(seed).standard_normal((count + 1, dimensions))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows[0], rows[1:]


# ---- the loss -----------------------------------------------------------------------------------


@given(lists_of_scores)
def test_the_loss_is_the_double_loop(scores: list[float]) -> None:
    found = weighted_ranknet(torch.tensor(scores, dtype=torch.float64))
    assert float(found) == pytest.approx(by_loops(scores), rel=1e-9, abs=1e-12)


@given(lists_of_scores)
def test_its_gradient_is_that_of_finite_differences(scores: list[float]) -> None:
    given_scores = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    weighted_ranknet(given_scores).backward()
    step = 1e-5
    for i, slope in enumerate(given_scores.grad.tolist()):
        above, below = list(scores), list(scores)
        above[i] += step
        below[i] -= step
        assert slope == pytest.approx((by_loops(above) - by_loops(below)) / (2 * step), abs=1e-6)
    assert given_scores.grad.tolist() == pytest.approx(ranknet_slope(np.array(scores)).tolist(), abs=1e-9)


def test_large_scores_overflow_nothing() -> None:
    assert float(weighted_ranknet(torch.tensor([-1e4, 1e4], dtype=torch.float64))) == pytest.approx(2e4 / 3)


# ---- learning -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_an_order_is_learned_as_worked_out_by_hand(seed: int) -> None:
    query, passages = collection(seed)
    order = np.random.default_rng(seed).permutation(12)[:9].tolist()
    rows, start = passages[order].astype(np.float64), query.astype(np.float64)
    scale = (len(order) - 1) / np.ptp(rows @ start) / 2
    expected = adam(start, rows, scale, ranknet_slope, 20, 1e-3)
    assert refined_query(query, passages, order) == pytest.approx(expected, abs=1e-6)
    expected = adam(start, rows, scale, ranknet_slope, 7, 0.02)
    assert refined_query(query, passages, order, steps=7, rate=0.02) == pytest.approx(expected, abs=1e-6)


def test_a_teacher_is_learned_first() -> None:
    query, passages = collection()
    rows, start = passages.astype(np.float64), query.astype(np.float64)
    teacher = np.random.default_rng(5).standard_normal(12) * 4
    given_scores = [None if i == 3 else float(score) for i, score in enumerate(teacher)]
    kept = [i for i in range(12) if i != 3]
    scale = np.ptp(teacher[kept]) / np.ptp(rows[kept] @ start) / 2
    middle = adam(start, rows[kept], scale, kl_slope(teacher[kept]), 100, 5e-3)
    found = refined_query(query, passages, [], teacher=given_scores)
    assert found == pytest.approx(middle, abs=1e-6)
    scale = 11 / np.ptp(rows @ middle) / 2
    expected = adam(middle, rows, scale, ranknet_slope, 20, 1e-3)
    assert refined_query(query, passages, range(12), teacher=given_scores) == pytest.approx(
        expected, abs=1e-6
    )


@given(st.integers(0, 10_000), st.integers(2, 12))
@settings(max_examples=25, deadline=None)
def test_the_query_agrees_better_with_the_order_afterwards(seed: int, count: int) -> None:
    query, passages = collection(seed, count)
    order = np.random.default_rng(seed).permutation(count).tolist()
    moved = refined_query(query, passages, order)
    scale = (count - 1) / 2 / max(float(np.ptp(passages @ query)), 1e-9)
    assert by_loops(scale * passages[order] @ moved) < by_loops(scale * passages[order] @ query)
    assert (moved == refined_query(query, passages, order)).all(), "deterministic"
    assert moved.dtype == np.float32


def test_enough_steps_give_the_whole_order() -> None:
    query, passages = collection(1, 8)
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    assert np.argsort(-passages @ query).tolist() != order
    moved = refined_query(query, passages, order, steps=300, rate=0.02)
    assert np.argsort(-passages @ moved).tolist() == order


def test_where_there_is_nothing_to_learn_the_vector_stays() -> None:
    query, passages = collection()
    for order in ([], [4]):
        assert (refined_query(query, passages, order) == query).all()
    assert (refined_query(query, passages[:0], []) == query).all()
    assert (refined_query(query, passages, range(12), steps=0) == query).all()
    assert (refined_query(query, passages[[3, 3, 3]], [2, 0, 1]) == query).all(), "all alike"
    assert (refined_query(query, passages, [], teacher=[2.0] + [None] * 11) == query).all()
    assert (refined_query(query, passages, [], teacher=[2.0] * 12) == query).all(), "no preference"


def test_equal_first_scores_can_be_told_apart() -> None:
    """The range of the first scores is zero, and nothing is divided by it."""
    query = np.array([1, 0, 0], np.float32)
    passages = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    moved = refined_query(query, passages, [1, 0])
    assert moved[2] > 0 > moved[1]


def test_the_callers_arrays_and_modes_are_left_alone() -> None:
    query, passages = (array.astype(np.float64) for array in collection())
    before = query.copy(), passages.copy()
    expected = refined_query(query, passages, range(12))
    with torch.inference_mode():
        assert (refined_query(query, passages, range(12)) == expected).all()
    with torch.no_grad():
        assert (refined_query(query, passages, range(12)) == expected).all()
    assert (query == before[0]).all()
    assert (passages == before[1]).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"order": [0, 0]}, "at most once"),
        ({"order": [12]}, "12 passages"),
        ({"order": [-1]}, "12 passages"),
        ({"vector": np.zeros(3, np.float32)}, "shape"),
        ({"vector": np.full(16, np.nan, np.float32)}, "finite"),
        ({"teacher": [1.0]}, "there is 1 teacher score for 12"),
        ({"teacher": [math.nan] * 12}, "not finite"),
        ({"steps": -1}, "steps"),
        ({"steps": True}, "steps"),
        ({"rate": 0.0}, "rate"),
        ({"teacher_rate": math.inf}, "teacher_rate"),
    ],
)
def test_bad_values_are_named(change: dict[str, object], named: str) -> None:
    query, passages = collection()
    with pytest.raises(InputError, match=named):
        refined_query(**({"vector": query, "passages": passages, "order": range(12)} | change))


# ---- searching again ----------------------------------------------------------------------------

# The query lies along the first axis. What is relevant also goes along the second, what is not against it.
TABLE = {
    "query": [1.0, 0.0, 0.0],
    "near but wrong": [0.96, -0.28, 0.0],
    "near and right": [0.936, 0.352, 0.0],
    "far but right": [0.6, 0.8, 0.0],
    "as far and wrong": [0.61, -0.7924, 0.0],
    "as far and wrong, too": [0.605, -0.7962, 0.0],
}


def index() -> DenseRetriever:
    texts = [text for text in TABLE if text != "query"]
    backend = ScriptedBackend(encode=lambda text, role: TABLE[text], identity="table")
    return DenseRetriever.build([Document(text, id=text) for text in texts], backend=backend)


def ranked(found: Sequence[Document], out: str = "") -> Ranking:
    """Ranked by somebody who knows what is right."""

    def judge(prompt: object) -> tuple[float, float]:
        text = next(segment.text for segment in prompt.segments if segment.cuttable)
        if text == out:
            raise ScriptedFailure("out")
        return (float("right" in text), 0.5)

    reranker = Reranker("limrank", backend=ScriptedBackend(read_labels=judge), reasoning="none")
    return reranker.rank("query", found)


def test_a_relevant_document_that_was_missed_is_found() -> None:
    dense = index()
    first = dense.search("query", 3)
    assert [hit.id for hit in first] == ["near but wrong", "near and right", "as far and wrong"]
    again = search_again(dense, "query", ranked(first), 3)
    assert "far but right" in [hit.id for hit in again]
    vector = refined_query(
        dense.query_vectors(["query"])[0],
        dense.document_vectors(["near and right", "near but wrong", "as far and wrong"]),
        [0, 1, 2],
    )
    for hit in again:
        cosine = float(np.dot(vector, TABLE[hit.id]) / np.linalg.norm(vector) / np.linalg.norm(TABLE[hit.id]))
        assert hit.prior == pytest.approx(cosine, abs=1e-6)


def test_a_teacher_alone_finds_it_too() -> None:
    dense = index()
    first = dense.search("query", 3)
    teacher = {hit.id: float("right" in hit.id) for hit in first} | {"somewhere else": 9.0}
    again = search_again(dense, "query", ranked(first), 3, teacher=teacher, steps=0)
    assert "far but right" in [hit.id for hit in again]
    assert search_again(dense, "query", ranked(first), 3, teacher={}, steps=0) == first


def test_failed_hits_teach_nothing() -> None:
    dense = index()
    first = dense.search("query", 3)
    failed = ranked(first, out="near but wrong")
    assert failed.hits[0].failure == "out", "it is put first, where it was"
    expected = ranked([document for document in first if document.id != "near but wrong"])
    assert search_again(dense, "query", failed) == search_again(dense, "query", expected)


@pytest.mark.parametrize("seed", range(8))
def test_one_document_or_none_searches_as_before(seed: int) -> None:
    """To the last bit, though a length in float32 is seldom exactly 1."""
    query, passages = collection(seed)
    table = {"query": query, **{f"text {i}": row for i, row in enumerate(passages)}}
    backend = ScriptedBackend(encode=lambda text, role: 3 * table[text], identity="table")
    dense = DenseRetriever.build([f"text {i}" for i in range(len(passages))], backend=backend)
    first = dense.search("query", 5)
    assert search_again(dense, "query", ranked(first[:1]), 5) == first
    assert search_again(dense, "query", ranked([]), 5) == first


def test_strangers_and_bad_depths_are_named() -> None:
    dense = index()
    with pytest.raises(InputError, match="'stranger' is not in this index"):
        search_again(dense, "query", ranked([Document("near but wrong", id="stranger")]))
    with pytest.raises(InputError, match="k must be"):
        search_again(dense, "query", ranked([]), 0)
