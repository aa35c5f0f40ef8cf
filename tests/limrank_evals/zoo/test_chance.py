"""A random order's nDCG, against all orders there are."""

from __future__ import annotations

from itertools import permutations, product
from statistics import mean

import pytest

from limrank_evals.measures import measure
from limrank_evals.zoo.chance import chance

QRELS = {"a": {"d1": 2, "d3": 1, "d9": 1}, "b": {"d2": 1}, "unfound": {"d1": 1}, "worthless": {"d1": 0}}


@pytest.mark.parametrize("name", ["nDCG@10", "nDCG@2", "P@1"])
def test_it_is_the_mean_over_all_orders(name: str):
    ranked = {"a": ["d1", "d2", "d3", "d4"], "b": ["d1", "d2"], "worthless": ["d1"], "unjudged": ["d1", "d2"]}
    orders = product(*(permutations(ids) for ids in ranked.values()))
    measured = [
        measure({query: list(ids) for query, ids in zip(ranked, some, strict=True)}, QRELS, (name,))
        for some in orders
    ]
    expected = mean(mean(one.per_query[name][query] for query in QRELS) for one in measured)
    assert chance(ranked, QRELS, name) == pytest.approx(expected, abs=1e-12)


def test_of_nothing_it_is_nothing():
    assert chance({}, QRELS, "nDCG@10") == 0
    assert chance({}, {}, "nDCG@10") == 0
