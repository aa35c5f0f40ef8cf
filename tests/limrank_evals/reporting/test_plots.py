"""Plots: whole XML, one mark a query, in its right place, with its number and its words."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as Tree
from collections.abc import Mapping
from typing import Any

import pytest
from evaluations import evaluation, large, sample_evaluation
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.reporting import plots
from limrank_evals.reporting.query_outcomes import query_outcomes
from limrank_evals.reporting.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, linear, ranks, tag, unranked
from limrank_evals.stats import Interval
from limrank_plugins.data import Document, Query


def parsed(picture: str) -> Tree.Element:
    return Tree.fromstring(str(picture))


def marks(picture: str, name: str) -> list[Mapping[str, str]]:
    return [{**e.attrib, "told": e.findtext("title") or ""} for e in parsed(picture).iter(name)]


def pairs():
    """Under the first instruction d0 and d1 are relevant, under the changed one d1 alone."""
    queries = (Query("a", "7-og", "one"), Query("a", "7-changed", "other"))
    documents = tuple(Document(f"text {n}", f"d{n}") for n in range(3))
    qrels = {"7-og": {"d0": 1, "d1": 1}, "7-changed": {"d0": 0, "d1": 1}}
    first = {"7-og": ["d0", "d1", "d2"], "7-changed": ["d0", "d1", "d2"]}
    after = {
        "7-og": [{"id": d, "score": 0.5} for d in ("d0", "d1", "d2")],
        "7-changed": [{"id": d, "score": 0.5} for d in ("d1", "d2", "d0")],
    }
    benchmark = Benchmark("FollowIR", "Core17", queries, documents, qrels)
    return evaluation(benchmark, first, after, measures=("p-MRR", "MAP@1000"))


def test_a_bar_for_every_query_best_first():
    one = sample_evaluation("daily")
    rows = query_outcomes(one)
    numbers = {row.id: place for place, row in enumerate(rows)}
    comparison = one.comparisons["nDCG@10"]
    bars = marks(plots.gains("0", "nDCG@10", comparison, numbers), "rect")
    assert [int(bar["data-query"]) for bar in bars] == [numbers[c.query] for c in comparison.changes[::-1]]
    heights = [float(bar["height"]) for bar in bars if bar["class"] == "up"]
    assert heights == sorted(heights, reverse=True)
    by_query = {change.query: change.difference for change in comparison.changes}
    for bar in bars:
        query, told = bar["told"].split(": ")
        assert told == plots.signed(by_query[query])
        assert bar["class"] == plots.kind_of(by_query[query])
    zero = next(
        e for e in parsed(plots.gains("0", "x", comparison, {})).iter("line") if e.get("class") == "zero"
    )
    for bar in bars:
        top, bottom = float(bar["y"]), float(bar["y"]) + float(bar["height"])
        base = float(zero.attrib["y1"])
        assert bottom == pytest.approx(base, abs=0.8) if bar["class"] == "up" else top >= base - 0.8


def test_dots_hold_every_query_once_and_equal_ones_together():
    one = large(60, 12, "x")
    comparison = one.comparisons["nDCG@10"]
    dots = marks(plots.scatter("0", "nDCG@10", comparison, {}), "circle")
    counts = [int(told.split(" ")[0]) if " queries" in (told := dot["told"]) else 1 for dot in dots]
    assert sum(counts) == 60
    assert len(dots) == len({(round(c.first, 3), round(c.second, 3)) for c in comparison.changes})
    radii = [float(dot["r"]) for dot in dots]
    assert radii == sorted(radii, reverse=True), "small dots lie on large ones"
    for dot in dots:
        before, after = map(float, dot["told"].rsplit(": ", 1)[1].split(" → "))
        assert (dot["class"] == "up") is (after > before)
        share = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
        assert float(dot["cx"]) == pytest.approx(LEFT + share[0] * before / 100, abs=0.02)
        assert float(dot["cy"]) == pytest.approx(HEIGHT - BOTTOM - share[1] * after / 100, abs=0.02)


def test_relevant_documents_move_where_they_went():
    rows = query_outcomes(pairs())
    picture = plots.movement("0", rows, {"7-og": 0, "7-changed": 1})
    assert picture is not None
    dots = marks(picture, "circle")
    assert sorted(dot["told"].split(", e.g.")[0] for dot in dots) == [
        "1 relevant: 1 → 1",
        "1 relevant: 2 → 1",
        "1 relevant: 2 → 2",
    ]
    up = next(dot for dot in dots if dot["class"] == "up")
    assert up["data-query"] == "1"
    same = next(dot for dot in dots if "1 → 1" in dot["told"])
    assert float(up["cy"]) == float(same["cy"]) < next(float(d["cy"]) for d in dots if "2 → 2" in d["told"])
    assert "1 relevant document moved up, 2 stayed, 0 moved down" in str(picture)


def test_pairs_of_queries_are_one_mark_that_opens_the_changed_side():
    one = pairs()
    rows = query_outcomes(one)
    assert [row.values["p-MRR"] for row in rows] == [(0.0, pytest.approx(2 / 3))] * 2
    assert rows[0].values["MAP@1000"] == (1.0, 1.0)
    picture = plots.gains("0", "p-MRR", one.comparisons["p-MRR"], {"7-og": 0, "7-changed": 1, "7": 1})
    (bar,) = marks(picture, "rect")
    assert bar["data-query"] == "1"


def test_scores_of_both_kinds_add_up_to_all():
    one = sample_evaluation("expert")
    picture = plots.scores("0", query_outcomes(one), one.records)
    assert picture is not None
    found: dict[str, float] = {"relevant": 0.0, "others": 0.0}
    for bar in marks(picture, "rect"):
        found[bar["told"].split(",")[0]] += float(bar["told"].split(": ")[1].removesuffix(" %"))
    assert found == {name: pytest.approx(100, abs=1.0) for name in found}
    assert plots.scores("0", query_outcomes(one), [{**r, "comparable": False} for r in one.records]) is None
    assert plots.scores("0", query_outcomes(one), []) is None


def test_an_interval_that_holds_0_is_grey():
    rows = [
        ("won", 0.1, Interval(0.05, 0.2)),
        ("unclear", 0.1, Interval(-0.05, 0.2)),
        ("lost", -0.1, Interval(-0.2, -0.01)),
        ("alone", 0.1, None),
    ]
    dots = marks(plots.differences("all", rows, "nDCG@10"), "circle")
    assert [dot["class"] for dot in dots] == ["up", "same", "down", "same"]
    heights = [float(dot["cy"]) for dot in dots]
    assert heights == sorted(heights), "from the top"
    assert dots[0]["told"] == "won: +10.0 (+5.0 to +20.0)"


def test_many_queries_are_one_outline():
    one = large(plots.MOST_BARS + 1, 8, "x")
    picture = plots.gains("0", "nDCG@10", one.comparisons["nDCG@10"], {})
    (outline,) = marks(picture, "polygon")
    assert len(outline["points"].split()) == 2 * (plots.MOST_BARS + 1) + 2
    assert not marks(picture, "rect")


def test_every_picture_has_a_name_and_a_description():
    one = sample_evaluation("daily")
    found = plots.plots_of("0", one, query_outcomes(one), {})
    assert [name for name, _, _ in found] == [
        "Gain of every query",
        "Before and after",
        "Relevant documents",
        "Scores",
    ]
    ids = [
        element.get("id")
        for _, _, picture in found
        for element in parsed(picture).iter()
        if element.get("id")
    ]
    assert len(set(ids)) == len(ids) == 8
    for _, _, picture in found:
        root = parsed(picture)
        assert root.get("role") == "img"
        assert root.findtext("title")
        assert root.findtext("desc")


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_axes_hold_their_values_with_round_ticks(low: float, span: float):
    axis = linear("x", low, low + span)
    assert axis.low <= low + 1e-6 * span
    assert axis.high >= low + span * (1 - 1e-6)
    assert 2 <= len(axis.ticks) <= 11
    assert (axis.share(axis.low), axis.share(axis.high)) == (0, 1)
    for (first, _), (second, _) in itertools.pairwise(axis.ticks):
        assert second > first


@pytest.mark.parametrize("depth", [1, 2, 10, 100, 1000])
def test_an_axis_of_ranks_has_a_place_for_what_is_in_no_list(depth: int):
    axis = ranks("rank", depth)
    assert 0 < axis.share(1) < axis.share(depth + 0.5) < axis.share(unranked(depth)) < 1
    assert axis.turned().share(1) == pytest.approx(1 - axis.share(1))


def test_attributes_and_texts_are_escaped():
    made: Any = tag("text", "<b>", class_='a"b', data_query=3)
    assert str(made) == '<text class="a&#34;b" data-query="3">&lt;b&gt;</text>'
