"""Means over splits: every split counts the same, and what is unlike is not averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluations import bright, evaluation, large, sample_evaluation

from limrank_evals.comparison import Resampling, compare_values
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.reporting.averages import averages, gain
from limrank_evals.reporting.headline import headlines
from limrank_evals.stats import WinTieLoss


def test_every_split_counts_the_same():
    parts = [sample_evaluation("daily"), sample_evaluation("expert")]
    found = gain(parts, "nDCG@10")
    assert found is not None
    means = [part.last.measured.means["nDCG@10"] for part in parts]
    assert found.second == pytest.approx(sum(means) / 2)
    assert found.difference == pytest.approx(found.second - found.first)
    assert found.record == WinTieLoss(*np.sum([part.comparisons["nDCG@10"].record for part in parts], axis=0))
    assert (found.splits, found.queries) == (2, 28)
    assert found.interval is not None
    assert found.interval.low < found.difference < found.interval.high
    first, second = averages(parts)
    assert (first.system, second.system, second.identity.split) == ("bm25s", "limrank", "mean of 2 splits")
    assert second.scores["nDCG@10"] == pytest.approx(found.second)
    assert second.counts["judged"] == 28
    low, high = second.intervals["nDCG@10"]
    assert low < second.scores["nDCG@10"] < high
    partly = replace(parts[0].results[1], scores={"R@5": 0.123}, intervals={})
    # A result that is not over all of its split's queries has no interval to make one of.
    parts[0] = replace(parts[0], results=(parts[0].results[0], partly))
    assert averages(parts)[1].intervals == {}


def test_the_interval_is_as_wide_as_theory_says():
    """Two splits of 400 queries whose differences have known spreads: the mean's is known, too."""
    dice = np.random.default_rng(1)
    one = large(4, 8, "x")
    spreads, parts = (0.1, 0.3), []
    for spread in spreads:
        values = {str(n): float(v) for n, v in enumerate(dice.normal(0, spread, 400))}
        comparison = compare_values(dict.fromkeys(values, 0.0), values, Resampling(resamples=100))
        parts.append(replace(one, comparisons={"nDCG@10": comparison}))
    found = gain(parts, "nDCG@10")
    assert found is not None
    assert found.interval is not None
    width = 2 * 1.96 * np.sqrt(sum((spread / 20) ** 2 for spread in spreads)) / 2
    assert found.interval.high - found.interval.low == pytest.approx(width, rel=0.1)
    # The order in which queries are held changes nothing.
    turned = [
        replace(part, comparisons={"nDCG@10": replace(c, changes=c.changes[::-1])})
        for part in parts
        for c in [part.comparisons["nDCG@10"]]
    ]
    assert gain(turned, "nDCG@10") == found


def test_a_split_that_was_not_compared_leaves_no_mean():
    full = bright("biology")
    alone = evaluation(bright("pony").benchmark, bright("pony").first.ranked)
    assert gain([full, alone], "nDCG@10") is None
    assert gain([full], "MAP") is None
    # The first stage is on both splits, the reranker on one.
    assert [mean.system for mean in averages([full, alone])] == ["bm25s"]


def test_settings_that_differ_are_not_the_means():
    def deeper(one: SplitEvaluation) -> SplitEvaluation:
        changed = [replace(r, identity=replace(r.identity, depth=10, model="other")) for r in one.results]
        return replace(one, results=tuple(changed))

    first, second = averages([bright("biology"), deeper(bright("pony"))])
    assert (first.identity.depth, second.identity.model, second.identity.first_stage) == (None, "", "bm25s")
    assert averages([bright("biology")]) == []


def test_several_ways_to_average_are_columns_or_rows_of_their_own():
    one = bright("all")
    # As LitSearch has it: parts of the split, and all of it.
    results = []
    for result in one.results:
        for split, averaging in (("specific", "own: specific"), ("all", "mteb: all")):
            identity = replace(result.identity, split=split, averaging=averaging)
            results.append(replace(result, identity=identity))
    (table,) = headlines([replace(one, results=tuple(results))])
    assert table.heads == ["specific nDCG@10", "specific R@5", "all nDCG@10", "all R@5"]
    assert [len([cell for cell in cells if cell]) for _, cells in table.table.rows[:2]] == [4, 4]
    # Two averages of one split cannot share a cell: the second is a row of its own.
    clash = tuple(replace(r, identity=replace(r.identity, split="all")) for r in results)
    (table,) = headlines([replace(one, results=clash)])
    assert [name for name, _ in table.table.rows] == [
        "bm25s",
        "bm25s, mteb: all",
        "limrank",
        "limrank, mteb: all",
    ]
