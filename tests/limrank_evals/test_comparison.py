"""Comparisons: which way a difference goes, and the worst regression first."""

from __future__ import annotations

from typing import Any

import pytest

from limrank_evals.comparison import Resampling, compare, compare_values
from limrank_evals.measures import measure
from limrank_evals.stats import WinTieLoss
from limrank_plugins.errors import InputError

QRELS = {str(i): {"gold": 1} for i in range(5)}
BEFORE = {"0": ["gold"], "1": ["x", "gold"], "2": ["gold"], "3": ["x"], "4": ["gold"]}
AFTER = {"0": ["x", "gold"], "1": ["gold"], "2": ["x", "y"], "3": ["x"]}


def test_above_0_the_second_is_better():
    found = compare(measure(BEFORE, QRELS, ["RR"]), measure(AFTER, QRELS, ["RR"]))["RR"]
    assert (found.first, found.second) == pytest.approx((0.7, 0.3))
    assert found.difference == pytest.approx(-0.4)
    assert found.record == WinTieLoss(won=1, tied=1, lost=3)
    assert [(c.query, c.difference) for c in found.changes] == [
        ("2", -1.0),
        ("4", -1.0),  # without results: 0, not left out
        ("0", -0.5),
        ("3", 0.0),
        ("1", 0.5),
    ]
    assert [c.query for c in found.regressions(10)] == ["2", "4", "0"]
    assert [c.query for c in found.regressions(1)] == ["2"]
    assert found.interval is not None
    assert found.interval.low < -0.4 < found.interval.high
    # Signs of -1, -1, -.5, +.5: |sum| reaches 2 in 6 of the 16 patterns.
    assert found.randomisation_p == pytest.approx(6 / 16)


def test_the_json_has_a_stable_schema():
    found = compare(measure(BEFORE, QRELS, ["RR"]), measure(AFTER, QRELS, ["RR"]))["RR"].as_json(1)
    assert set(found) == {"first", "second", "difference", "interval", "p", "queries", "regressions"}
    assert found["queries"] == {"both": 5, "won": 1, "tied": 1, "lost": 3, "left_out": 0}
    assert found["regressions"] == [{"query": "2", "first": 1.0, "second": 0.0, "difference": -1.0}]


def test_queries_only_one_has_a_value_for_are_named():
    found = compare_values({"a": 1.0, "b": 0.5}, {"b": 0.5, "c": 0.1})
    assert (found.queries, found.left_out) == (1, ("a", "c"))
    assert found.interval is None
    assert found.t_p is None


def test_what_cannot_be_compared():
    one = measure(BEFORE, QRELS, ["RR"])
    with pytest.raises(InputError, match="same judgements"):
        compare(one, measure({"0": ["gold"]}, {"0": {"gold": 1}}, ["RR"]))
    with pytest.raises(InputError, match="same measures"):
        compare(one, measure(BEFORE, QRELS, ["P@5"]))
    with pytest.raises(InputError, match="no query"):
        compare_values({"a": 1.0}, {"b": 1.0})


@pytest.mark.parametrize("wrong", [{"level": 2.0}, {"level": float("nan")}, {"resamples": 0}])
def test_how_is_resampled_is_checked_at_once(wrong: dict[str, Any]):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Resampling(**wrong)
