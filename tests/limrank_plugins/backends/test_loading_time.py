"""Loading is counted once, apart from what a model then takes to answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from limrank_plugins import Query, Ranking, Reranker
from limrank_plugins.backends import loading_time
from limrank_plugins.backends.loading_time import loading_seconds, timed_loading
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.protocols import Numbers, Reply, ScorePair
from limrank_plugins.cli.search import summary


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands at its only entry."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(loading_time, "_seconds", 0.0)
    return now


class LateModel:
    """Loads for 5 seconds when it is first asked, and answers in 2."""

    name = identity = "late"

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.model = SharedModel("the model", load=self.load)

    def load(self) -> str:
        self.clock[0] += 5
        return "model"

    def score_pairs(self, requests: Sequence[ScorePair]) -> list[Reply]:
        with self.model.turn():
            self.clock[0] += 2
            return [Numbers((1.0,)) for _ in requests]


def test_a_model_that_loads_when_it_is_asked_is_not_slow_to_answer(clock: list[float]) -> None:
    reranker = Reranker("cross-encoder:activation=none", backend=LateModel(clock))
    first, second = (reranker.rank("milk", ["tea", text]) for text in ("acid", "bread"))
    assert (first.usage.seconds, second.usage.seconds) == (pytest.approx(2), pytest.approx(2))
    assert loading_seconds() == pytest.approx(5)


def test_blocks_inside_each_other_count_once(clock: list[float]) -> None:
    with timed_loading():
        clock[0] += 1
        with timed_loading():
            clock[0] += 2
    assert loading_seconds() == pytest.approx(3)


def test_it_is_shown_where_there_was_any() -> None:
    ranking = Ranking(Query("milk"), (), "mini", "similarity", False)
    assert "model loaded in 1.5 s; reranked in 0.00 s" in summary(ranking, 3, 0.01, loading=1.5)
    assert "loaded" not in summary(ranking, 3, 0.01, loading=0.01)
